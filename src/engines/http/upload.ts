import type { Socket } from 'node:net';
import type { Readable } from 'node:stream';

/** The sender said how much would come, and more or less than that came. */
class LengthMismatch extends Error {
  readonly code = 'length_mismatch';
}

/** A body on its way from a stream to a worker's socket, as fast as that takes it. */
export class Upload {
  readonly #body: Readable;
  readonly #socket: Socket;
  /** Undefined: it goes out in chunks. */
  readonly #length: number | undefined;
  readonly #onFailure: (error: Error) => void;
  #size = 0;
  #stopped = false;
  /** Whether all of it has been written. */
  ended = false;

  constructor(body: Readable, socket: Socket, length: number | undefined, onFailure: (error: Error) => void) {
    this.#body = body;
    this.#socket = socket;
    this.#length = length;
    this.#onFailure = onFailure;
    body.on('data', this.#onData).once('end', this.#onEnd).once('error', this.#onError);
  }

  resume(): void {
    if (!this.#stopped) this.#body.resume();
  }

  /** The answer has come, or will not: nobody reads the rest. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#body.off('data', this.#onData).off('end', this.#onEnd);
    if (!this.ended) this.#body.destroy();
  }

  readonly #onData = (chunk: Buffer): void => {
    if (chunk.length === 0) return;
    this.#size += chunk.length;
    if (this.#length !== undefined && this.#size > this.#length) {
      this.#fail(new LengthMismatch('the body is longer than was announced'));
      return;
    }
    if (!this.#write(chunk)) this.#body.pause();
  };

  #write(chunk: Buffer): boolean {
    const { writable } = this.#socket;
    if (!writable) return true;
    if (this.#length !== undefined) return this.#socket.write(chunk);
    this.#socket.cork();
    this.#socket.write(`${chunk.length.toString(16)}\r\n`, 'latin1');
    this.#socket.write(chunk);
    const ready = this.#socket.write('\r\n', 'latin1');
    this.#socket.uncork();
    return ready;
  }

  readonly #onEnd = (): void => {
    if (this.#length !== undefined && this.#size !== this.#length) {
      this.#fail(new LengthMismatch('the body is shorter than was announced'));
      return;
    }
    if (this.#length === undefined && this.#socket.writable) this.#socket.write('0\r\n\r\n', 'latin1');
    this.ended = true;
  };

  readonly #onError = (error: Error): void => {
    this.#fail(error);
  };

  #fail(error: Error): void {
    if (!this.#stopped) this.#onFailure(error);
  }
}
