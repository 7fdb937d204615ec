import type { Socket } from 'node:net';

const INTERIM = Buffer.from('HTTP/1.1 1');
const MINOR_VERSION_AT = 7;
/** Of `HTTP/1.1 101`: without its last digit it is not known whether a head is an interim one. */
const STATUS_END = 12;
const HEAD_END = '\r\n\r\n';

/** Whose answer it is. */
interface Asker {
  /** The worker has begun to answer, and so has the request. */
  onResponseStarted(): void;
}

/**
 * Takes the interim answers of a worker (RFC 9110 15.2) out of what undici reads: it holds an unasked `100 Continue` for
 * a broken answer, and no other one means anything to the router. A 101 is final: it answers a handshake.
 */
export class InterimHeads {
  readonly #mostBytes: number;
  /** Set until the final head begins. */
  #asker: Asker | undefined;
  /** Of a head that has begun, what does not end it yet. */
  #rest: Buffer | undefined;
  #skipped = 0;

  /** @param mostBytes Of all interim heads before one answer; what is beyond them is undici's to refuse. */
  constructor(mostBytes: number) {
    this.#mostBytes = mostBytes;
  }

  /** A request is being sent: what comes next on its connection begins the answer. */
  expect(asker: Asker): void {
    this.#asker = asker;
    this.#rest = undefined;
    this.#skipped = 0;
  }

  watch(socket: Socket): void {
    const read = socket.read.bind(socket) as (size?: number) => unknown;
    socket.read = (size?: number): unknown => {
      for (;;) {
        const chunk = read(size);
        if (!this.#asker || !Buffer.isBuffer(chunk)) return chunk;
        const final = this.#withoutInterim(chunk, this.#asker);
        if (final) return final;
      }
    };
  }

  /** Undefined where nothing is left of it so far. */
  #withoutInterim(chunk: Buffer, asker: Asker): Buffer | undefined {
    let bytes = this.#rest ? Buffer.concat([this.#rest, chunk]) : chunk;
    this.#rest = undefined;
    while (mayBeInterim(bytes)) {
      const end = bytes.length < STATUS_END ? -1 : bytes.indexOf(HEAD_END);
      const length = end < 0 ? bytes.length : end + HEAD_END.length;
      if (this.#skipped + length > this.#mostBytes) break;
      asker.onResponseStarted();
      if (end < 0) {
        this.#rest = bytes;
        return undefined;
      }
      this.#skipped += length;
      bytes = bytes.subarray(length);
    }
    this.#asker = undefined;
    return bytes;
  }
}

/** Whether an answer that begins like this is an interim one, or may become one. */
function mayBeInterim(bytes: Buffer): boolean {
  for (let at = 0; at < INTERIM.length && at < bytes.length; at += 1)
    if (bytes[at] !== INTERIM[at] && at !== MINOR_VERSION_AT) return false;
  return bytes.length < STATUS_END || bytes.toString('latin1', STATUS_END - 2, STATUS_END) !== '01';
}
