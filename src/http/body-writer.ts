import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/**
 * Writes a body to a client piece by piece. `node:http` sends four pieces of memory for each chunk; here its framing and its
 * bytes go out as one, where the response is the one whose turn it is on the connection.
 */
export class BodyWriter {
  readonly #res: ServerResponse;
  readonly #onDrain: () => void;
  /** The head goes out with the first piece. */
  #begun = false;
  #awaitsDrain = false;

  /** `onDrain` is called when what `write` held to be too much has left. */
  constructor(res: ServerResponse, onDrain: () => void) {
    this.#res = res;
    this.#onDrain = onDrain;
  }

  get awaitsDrain(): boolean {
    return this.#awaitsDrain;
  }

  /** False = not ready for more before `onDrain`. */
  write(bytes: Buffer): boolean {
    const socket = this.#begun && this.#res.chunkedEncoding ? this.#res.socket : null;
    this.#begun = true;
    const ready = socket === null ? this.#res.write(bytes) : writeChunk(socket, bytes);
    if (!ready && !this.#awaitsDrain) {
      this.#awaitsDrain = true;
      (socket ?? this.#res).once('drain', this.#drained);
    }
    return ready;
  }

  readonly #drained = (): void => {
    this.#awaitsDrain = false;
    this.#onDrain();
  };
}

const CR = 0x0d;
const LF = 0x0a;

/** RFC 9112 7.1: the size in hexadecimal, a line break, the bytes, a line break. */
function writeChunk(socket: Socket, bytes: Buffer): boolean {
  const digits = hexDigits(bytes.length);
  const framed = Buffer.allocUnsafe(digits + bytes.length + 4);
  for (let at = digits - 1, rest = bytes.length; at >= 0; at -= 1, rest >>>= 4)
    framed[at] = HEX.charCodeAt(rest & 0xf);
  framed[digits] = CR;
  framed[digits + 1] = LF;
  framed.set(bytes, digits + 2);
  framed[framed.length - 2] = CR;
  framed[framed.length - 1] = LF;
  return socket.write(framed);
}

const HEX = '0123456789abcdef';

function hexDigits(size: number): number {
  return Math.max(1, Math.ceil((32 - Math.clz32(size)) / 4));
}
