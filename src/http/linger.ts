import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** As long as common servers do: long enough for a client that sends a large body before it looks. */
const LINGER_MS = 5_000;

/**
 * Ends a connection on which the client may still be sending what nobody wants. Closing it at once would make the system
 * reset it, and the client could lose the answer; so only our side is ended, and what comes is read and dropped until
 * the client has ended its own, or for a while.
 */
export function linger(socket: Socket): void {
  socket.end();
  socket.resume();
  const timer = setTimeout(() => socket.destroy(), LINGER_MS);
  timer.unref();
  socket.once('close', () => {
    clearTimeout(timer);
  });
}

/** The same behind a response that says `connection: close`: by itself Node would close both directions. */
export function lingerAfter(res: ServerResponse): void {
  const { req } = res;
  const { socket } = req;
  socket.destroySoon = () => undefined;
  res.once('finish', () => {
    req.resume();
    linger(socket);
  });
}
