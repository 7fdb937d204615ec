import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';

/** What carries a TLS connection. */
const carriers = new WeakMap<TLSSocket, Socket>();

export function noteCarrier(socket: TLSSocket, carrier: Socket): void {
  carriers.set(socket, carrier);
}

/** Ends a connection so that nobody takes it for a proper end. TLS knows no reset, and many clients do not miss its farewell. */
export function reset(socket: Socket): void {
  if (!(socket instanceof TLSSocket)) {
    socket.resetAndDestroy();
    return;
  }
  carriers.get(socket)?.resetAndDestroy();
  socket.destroy();
}
