import type { Socket } from 'node:net';
import { ByteCollector } from '../base/byte-collector.ts';

/** A client must say nothing before its handshake is answered (RFC 6455 4.1); who says more than a little is cut off. */
const MOST_EARLY_BYTES = 64 * 1024;

/**
 * A client that asks for a WebSocket, whose socket is no longer read as HTTP. Until there is an answer its socket is read,
 * for nothing else tells that it has left; what it says meanwhile is kept for the other end.
 */
export class Tunnel {
  readonly socket: Socket;
  readonly #early = new ByteCollector();

  constructor(socket: Socket, head: Buffer) {
    this.socket = socket;
    this.#early.push(head);
    socket.on('data', this.#onData);
    socket.on('end', this.#onEnd);
  }

  /** The tunnel stands. Gives what the client has said so far; who takes it has to read on at once. */
  open(): Buffer {
    this.socket.off('data', this.#onData);
    this.socket.off('end', this.#onEnd);
    return this.#early.take();
  }

  /** The handshake was answered with something else: nobody wants to hear more on this connection. */
  refuse(): void {
    this.#early.clear();
    this.socket.off('data', this.#onData);
  }

  readonly #onData = (chunk: Buffer): void => {
    if (this.#early.size + chunk.length > MOST_EARLY_BYTES) this.socket.destroy();
    else this.#early.push(chunk);
  };

  /** As with any other request: a client that ends its side has left. */
  readonly #onEnd = (): void => {
    this.socket.destroy();
  };
}
