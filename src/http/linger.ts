import type { Socket } from 'node:net';

/** As common servers do: how long a client may pause, and how long it may go on sending, before it looks. */
const LINGER_IDLE_MS = 5_000;
const LINGER_MS = 30_000;

/**
 * Ends a connection on which the client may still be sending what nobody wants. Closing it at once would make the system
 * reset it, and the client could lose the answer; so only our side is ended, and what comes is read and dropped until
 * the client has ended its own, or for a while.
 */
export function linger(socket: Socket): void {
  socket.end();
  socket.resume();
  let seen = socket.bytesRead;
  let leftMs = LINGER_MS;
  const timer = setInterval(() => {
    leftMs -= LINGER_IDLE_MS;
    if (leftMs <= 0 || socket.bytesRead === seen) socket.destroy();
    seen = socket.bytesRead;
  }, LINGER_IDLE_MS);
  timer.unref();
  socket.once('close', () => {
    clearInterval(timer);
  });
}
