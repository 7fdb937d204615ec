import { BadResponse, readHead, readTrailers, type ResponseHead } from './response-head.ts';

/** What a parser finds, in this order; `onHead` once for each interim (1xx) response and once for the final one. */
export interface ResponseEvents {
  onHead(head: ResponseHead): void;
  /** A piece of the bytes given to `push`: who keeps it must copy it where those are used again. */
  onBody(piece: Buffer): void;
  onEnd(trailers: readonly string[]): void;
}

const LF = 0x0a;
const CR = 0x0d;
const SEMICOLON = 0x3b;
const LINE_BREAK = Buffer.from('\r\n');
const END_OF_HEAD = Buffer.from('\r\n\r\n');
const BEGINNING = 'HTTP/1.';
/** Hexadecimal digits of a chunk's size: below 2^52. */
const MOST_SIZE_DIGITS = 13;
/** Extensions of a chunk mean nothing to anybody (RFC 9112 7.1.1). */
/** RFC 9112 7.1.1, without blanks and escapes. */
const EXTENSIONS =
  /^(?:;[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:=(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+|"[\t\x20\x21\x23-\x5b\x5d-\x7e]*"))?)+$/;
const LONGEST_LINE_BYTES = 1024;
const MOST_INTERIM = 64;
const SMALLEST_PARTIAL_BYTES = 512;
const NOTHING = Buffer.alloc(0);

type State =
  /** Before or in the head. */
  | 'head'
  /** In a body whose bytes left are known. */
  | 'length'
  | 'chunk-size'
  | 'chunk-data'
  /** At the line break behind a chunk's bytes. */
  | 'chunk-end'
  | 'trailers'
  /** In a body that ends with the connection. */
  | 'until-close'
  /** Behind the last byte. */
  | 'done';

/**
 * Reads one final response of HTTP/1.1, and the interim ones before it, from bytes cut anywhere. Strict: what this parser takes,
 * llhttp takes too, and reads in the same way (`test/fuzz`).
 */
export class ResponseParser {
  readonly #method: string;
  readonly #maxHeadBytes: number;
  readonly #events: ResponseEvents;
  #state: State = 'head';
  /** What has come of a head, trailers or a chunk's size line that is not whole yet. */
  readonly #partial = new Partial();
  /** Bytes left of the body or of the chunk. */
  #left = 0;
  /** While it is set nothing is told of, and `push` takes nothing. */
  paused = false;
  #interim = 0;

  constructor(method: string, maxHeadBytes: number, events: ResponseEvents) {
    this.#method = method;
    this.#maxHeadBytes = maxHeadBytes;
    this.#events = events;
  }

  /** Whether the response is whole. */
  get done(): boolean {
    return this.#state === 'done';
  }

  /** Whether only the end of the connection tells where the body ends. */
  get endsWithConnection(): boolean {
    return this.#state === 'until-close';
  }

  /** Whether no byte of a response has come yet. */
  get untouched(): boolean {
    return this.#state === 'head' && this.#partial.size === 0 && this.#interim === 0;
  }

  /**
   * Reads on.
   * @returns how many bytes belonged to this response: fewer than `bytes.length` when it is whole, has switched protocols, or
   *   has been paused, when the rest is to be pushed again.
   * @throws BadResponse
   */
  push(bytes: Buffer): number {
    let at = 0;
    while (!this.paused && this.#state !== 'done' && (at < bytes.length || this.#isAtEnd)) {
      if (this.#isAtEnd) this.#end([]);
      else at = this.#step(bytes, at);
    }
    return at;
  }

  /** Behind the last byte of a body of known length. */
  get #isAtEnd(): boolean {
    return this.#state === 'length' && this.#left === 0;
  }

  /** The connection has ended. @returns whether the response is whole. */
  finish(): boolean {
    if (this.#state === 'until-close') {
      this.#state = 'done';
      this.#events.onEnd([]);
    }
    return this.#state === 'done';
  }

  #step(bytes: Buffer, at: number): number {
    switch (this.#state) {
      case 'head':
        return this.#readBlock(bytes, at, this.#onHead);
      case 'trailers':
        return this.#readTrailers(bytes, at);
      case 'length':
      case 'chunk-data':
        return this.#readBody(bytes, at);
      case 'until-close':
        this.#events.onBody(bytes.subarray(at));
        return bytes.length;
      case 'chunk-size':
        return this.#readLine(bytes, at, this.#onChunkSize);
      case 'chunk-end':
        return this.#readLine(bytes, at, this.#onChunkEnd);
      case 'done':
        return at;
    }
  }

  #readBody(bytes: Buffer, at: number): number {
    const end = Math.min(bytes.length, at + this.#left);
    this.#left -= end - at;
    this.#events.onBody(at === 0 && end === bytes.length ? bytes : bytes.subarray(at, end));
    if (this.#left === 0 && this.#state === 'chunk-data') this.#state = 'chunk-end';
    return end;
  }

  /** Collects up to and with the empty line that ends a head. */
  #readBlock(bytes: Buffer, at: number, use: (text: string) => void): number {
    if (this.#partial.size === 0) {
      const end = bytes.indexOf(END_OF_HEAD, at);
      if (end >= 0) {
        this.#use(bytes, at, end, use);
        return end + END_OF_HEAD.length;
      }
    }
    const before = this.#partial.size;
    // What is beyond the limit need not be looked at.
    const all = this.#partial.push(bytes.subarray(at, at + this.#maxHeadBytes + END_OF_HEAD.length));
    // Its end may stand across the two.
    const end = all.indexOf(END_OF_HEAD, Math.max(0, before - 3));
    if (end >= 0) {
      this.#partial.clear();
      this.#use(all, 0, end, use);
      return at + end + END_OF_HEAD.length - before;
    }
    if (all.length > this.#maxHeadBytes) throw new BadResponse('its head is too large');
    checkBegun(all, Math.max(0, before - 1), this.#state === 'head');
    return bytes.length;
  }

  #use(bytes: Buffer, start: number, end: number, use: (text: string) => void): void {
    if (end - start > this.#maxHeadBytes) throw new BadResponse('its head is too large');
    use(bytes.toString('latin1', start, end));
  }

  readonly #onHead = (text: string): void => {
    const head = readHead(text, this.#method);
    if (head.status < 200 && head.status !== 101) {
      this.#interim += 1;
      if (this.#interim > MOST_INTERIM) throw new BadResponse('too many interim responses');
    } else if (head.status === 101) {
      this.#state = 'done';
    } else {
      this.#begin(head);
    }
    this.#events.onHead(head);
    if (head.status >= 200 && head.framing.kind === 'none') this.#events.onEnd([]);
  };

  #begin({ framing }: ResponseHead): void {
    switch (framing.kind) {
      case 'none':
        this.#state = 'done';
        return;
      case 'length':
        this.#left = framing.length;
        this.#state = 'length';
        return;
      case 'chunked':
        this.#state = 'chunk-size';
        return;
      case 'close':
        this.#state = 'until-close';
    }
  }

  #end(trailers: readonly string[]): void {
    this.#state = 'done';
    this.#events.onEnd(trailers);
  }

  /** Collects a line up to and with its line break. */
  #readLine(bytes: Buffer, at: number, use: (line: Buffer) => void): number {
    const lf = bytes.indexOf(LF, at);
    const end = lf < 0 ? bytes.length : lf + 1;
    if (this.#partial.size + end - at > LONGEST_LINE_BYTES) throw new BadResponse('a chunk without a size');
    const rest = bytes.subarray(at, end);
    const line = lf >= 0 && this.#partial.size === 0 ? rest : this.#partial.push(rest);
    if (lf < 0) return end;
    this.#partial.clear();
    if (line[line.length - 2] !== CR) throw new BadResponse('a line that does not end in CR LF');
    use(line);
    return end;
  }

  readonly #onChunkSize = (line: Buffer): void => {
    let size = 0;
    let at = 0;
    for (; at < line.length; at += 1) {
      const digit = hexDigit(line[at] ?? 0);
      if (digit < 0) break;
      size = size * 16 + digit;
    }
    if (at === 0 || at > MOST_SIZE_DIGITS) throw new BadResponse('a chunk without a size');
    if (line[at] === SEMICOLON) checkExtension(line, at);
    else if (at !== line.length - 2) throw new BadResponse('a chunk without a size');
    this.#left = size;
    this.#state = size === 0 ? 'trailers' : 'chunk-data';
  };

  readonly #onChunkEnd = (line: Buffer): void => {
    if (line.length !== 2) throw new BadResponse('a chunk longer than its size');
    this.#state = 'chunk-size';
  };

  /** Nearly always there are none: the empty line comes at once. */
  #readTrailers(bytes: Buffer, at: number): number {
    if (this.#partial.size === 0) {
      if (bytes[at] === CR && bytes[at + 1] === LF) {
        this.#end([]);
        return at + 2;
      }
      // The block that ends in an empty line has the line break of the last chunk before it.
      this.#partial.push(LINE_BREAK);
    }
    return this.#readBlock(bytes, at, this.#onTrailers);
  }

  readonly #onTrailers = (text: string): void => {
    this.#end(readTrailers(text.slice(2)));
  };
}

/** Bytes of something that has not come whole; each is copied a few times at most, however small the pieces are. */
class Partial {
  size = 0;
  #bytes: Buffer = NOTHING;

  /** All so far. */
  push(piece: Buffer): Buffer {
    const size = this.size + piece.length;
    if (size > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(SMALLEST_PARTIAL_BYTES, 2 * size));
      this.#bytes.copy(larger, 0, 0, this.size);
      this.#bytes = larger;
    }
    piece.copy(this.#bytes, this.size);
    this.size = size;
    return this.#bytes.subarray(0, size);
  }

  /** What `push` has given stays as it is until the next one. */
  clear(): void {
    this.size = 0;
  }
}

/** Whoever does not speak HTTP is not waited for. */
function checkBegun(bytes: Buffer, from: number, isHead: boolean): void {
  if (isHead) {
    const begun = bytes.toString('latin1', 0, BEGINNING.length);
    if (!BEGINNING.startsWith(begun)) throw new BadResponse('it does not begin with an HTTP/1.1 status line');
  }
  for (let lf = bytes.indexOf(LF, from); lf >= 0; lf = bytes.indexOf(LF, lf + 1))
    if (bytes[lf - 1] !== CR) throw new BadResponse('a line that does not end in CR LF');
}

function checkExtension(line: Buffer, from: number): void {
  if (!EXTENSIONS.test(line.toString('latin1', from, line.length - 2)))
    throw new BadResponse('a chunk with an improper extension');
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}
