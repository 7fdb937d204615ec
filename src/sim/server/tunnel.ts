import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { isAuthorized } from './api-key.ts';
import { realtime } from './realtime.ts';
import type { SimState } from './sim-state.ts';
import { acceptWebSocket } from './websocket.ts';

/** WebSockets: `/v1/realtime` as vLLM has it, and `/sim/echo`, which sends every message back as it came. */
export function openTunnel(sim: SimState, request: IncomingMessage, socket: Duplex, head: Buffer): void {
  const path = (request.url ?? '/').replace(/\?.*$/, '');
  // A tunnel that breaks is closed by Node; without a listener the error would end the process.
  socket.on('error', () => undefined);
  // A WebSocket has nothing to say to half a connection, and Node leaves it to us to end the other half.
  socket.on('end', () => socket.end());
  if (!isAuthorized(sim.settings.apiKeys, request, path)) refuse(socket, '401 Unauthorized');
  else if (path !== '/v1/realtime' && path !== '/sim/echo') refuse(socket, '404 Not Found');
  else {
    const peer = acceptWebSocket(request, socket);
    if (!peer) return;
    if (path === '/v1/realtime') peer.open(head, realtime(sim, peer));
    else peer.open(head, ({ data, binary }) => peer.send(binary ? data : data.toString()));
  }
}

function refuse(socket: Duplex, status: string): void {
  socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`);
}
