/** One HTTP/1.1 message as it passes by; bodies are counted, not kept. */
export interface MessageEvents {
  /** `head`: start line and headers as they came, without the empty line behind them. */
  onHead(head: string): void;
  /** Bytes of the body, its framing taken off: so many from `at` in a buffer that is used again afterwards. */
  onBody(bytes: number, buffer: Buffer, at: number): void;
  /** The message is complete. */
  onEnd(): void;
  /** What came is not a message this reader can follow. */
  onError(reason: string): void;
}

const END_OF_HEAD = Buffer.from('\r\n\r\n');
const LF = 0x0a;
const CHUNK_END_BYTES = 2;

type State = 'head' | 'body' | 'chunk_size' | 'chunk' | 'chunk_end' | 'last_line';

/**
 * Follows the messages on one keep-alive connection, requests and responses alike. It does as little as will still
 * notice a wrong byte count, so that the load stays cheap beside what it measures; node:http would cost as much as the
 * proxies under test.
 */
export class MessageReader {
  readonly #events: MessageEvents;
  #state: State = 'head';
  /** An incomplete head or size line. */
  #partial = '';
  /** Bytes of the body, the chunk or the chunk's end that are still to come. */
  #left = 0;

  constructor(events: MessageEvents) {
    this.#events = events;
  }

  /** Takes what was read. The buffer may be used again afterwards. */
  push(buffer: Buffer, length: number): void {
    let at = 0;
    while (at < length) {
      switch (this.#state) {
        case 'head':
          at = this.#readHead(buffer, at, length);
          break;
        case 'chunk_size':
        case 'last_line':
          at = this.#readLine(buffer, at, length);
          break;
        case 'body':
        case 'chunk':
        case 'chunk_end':
          at += this.#skip(buffer, at, Math.min(this.#left, length - at));
      }
    }
  }

  #readHead(buffer: Buffer, at: number, length: number): number {
    const end = this.#partial === '' ? buffer.indexOf(END_OF_HEAD, at) : -1;
    if (end >= 0 && end + END_OF_HEAD.length <= length) {
      this.#begin(buffer.toString('latin1', at, end));
      return end + END_OF_HEAD.length;
    }
    // Rare: the head came in pieces.
    const before = this.#partial.length;
    this.#partial += buffer.toString('latin1', at, length);
    const whole = this.#partial.indexOf('\r\n\r\n');
    if (whole < 0) return length;
    const head = this.#partial.slice(0, whole);
    this.#partial = '';
    this.#begin(head);
    return at + whole + END_OF_HEAD.length - before;
  }

  #begin(head: string): void {
    const lower = head.toLowerCase();
    const lengthAt = lower.indexOf('\r\ncontent-length:');
    this.#events.onHead(head);
    if (lengthAt >= 0) {
      this.#left = Number.parseInt(lower.slice(lengthAt + '\r\ncontent-length:'.length), 10);
      this.#state = 'body';
      if (this.#left === 0) this.#end();
    } else if (lower.includes('\r\ntransfer-encoding: chunked')) {
      this.#state = 'chunk_size';
    } else if (/^(?:get|head) /.test(lower)) {
      this.#end();
    } else {
      this.#events.onError(`a message without framing: ${head.slice(0, 60)}`);
    }
  }

  #readLine(buffer: Buffer, at: number, length: number): number {
    const lf = buffer.indexOf(LF, at);
    if (lf < 0 || lf >= length) {
      this.#partial += buffer.toString('latin1', at, length);
      return length;
    }
    const line = (this.#partial + buffer.toString('latin1', at, lf)).trimEnd();
    this.#partial = '';
    if (this.#state === 'last_line') {
      if (line === '') this.#end();
    } else {
      this.#left = Number.parseInt(line, 16);
      if (Number.isNaN(this.#left)) this.#events.onError(`not a chunk size: ${line.slice(0, 20)}`);
      this.#state = this.#left === 0 ? 'last_line' : 'chunk';
    }
    return lf + 1;
  }

  #skip(buffer: Buffer, at: number, bytes: number): number {
    this.#left -= bytes;
    if (this.#state !== 'chunk_end') this.#events.onBody(bytes, buffer, at);
    if (this.#left > 0) return bytes;
    if (this.#state === 'body') {
      this.#end();
    } else if (this.#state === 'chunk') {
      this.#state = 'chunk_end';
      this.#left = CHUNK_END_BYTES;
    } else {
      this.#state = 'chunk_size';
    }
    return bytes;
  }

  #end(): void {
    this.#state = 'head';
    this.#events.onEnd();
  }
}
