import { BadMessage } from './bad-message.ts';
import { CR, LF } from './characters.ts';
import { readChunkSize } from './chunk-size.ts';
import { blockOf, readFieldLines, type Block, type FieldReader } from './field-lines.ts';
import { TRAILER_LINES, type Framing } from './framing-fields.ts';
import { Partial } from './partial.ts';

const LINE_BREAK = Buffer.from('\r\n');
const END_OF_HEAD = Buffer.from('\r\n\r\n');
const LONGEST_LINE_BYTES = 1024;

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
  /** Behind the last byte of the last message. */
  | 'done';

/** What a message brings behind its head. */
export interface BodyEvents {
  /** A piece of the bytes given to `push`: who keeps it must copy it where those are used again. */
  onBody(piece: Buffer): void;
  onEnd(trailers: readonly string[]): void;
}

/**
 * Reads messages of HTTP/1.1 from bytes cut anywhere: what requests and responses have in common. Strict: what it takes,
 * llhttp takes too, and reads in the same way (`test/fuzz`).
 */
export abstract class MessageReader {
  /**
   * While it is set nothing is told of, and `push` takes nothing. When it is no more, `push` is to be called with what was not
   * used, be it nothing: the end may be all that is left to tell.
   */
  paused = false;
  protected state: State = 'head';
  readonly #maxHeadBytes: number;
  readonly #events: BodyEvents;
  /** What has come of a head, trailers or a chunk's size line that is not whole yet. */
  readonly #partial = new Partial();
  /** Bytes left of the body or of the chunk. */
  #left = 0;

  constructor(maxHeadBytes: number, events: BodyEvents) {
    this.#maxHeadBytes = maxHeadBytes;
    this.#events = events;
  }

  /** Reads a head that has come whole: calls `begin` for what follows it, then tells of it. */
  protected abstract onHeadBlock(block: Block): void;
  /** Looks at a head that has not. Whoever does not speak HTTP is not waited for. */
  protected abstract checkBeginning(bytes: Buffer): void;
  /** What to wait for behind a message. */
  protected abstract readonly stateBehind: State;

  protected get trailerLines(): FieldReader {
    return TRAILER_LINES;
  }

  /** Skips what may stand before a head. */
  protected skip(_bytes: Buffer, at: number): number {
    return at;
  }

  /** Whether a head has begun and is not whole. */
  protected get isInHead(): boolean {
    return this.state === 'head' && this.#partial.size > 0;
  }

  /** @throws BadMessage */
  protected read(bytes: Buffer): number {
    let at = 0;
    while (!this.paused && this.state !== 'done' && (at < bytes.length || this.#isAtEnd)) {
      if (this.#isAtEnd) this.#end([]);
      else at = this.#step(bytes, at);
    }
    return at;
  }

  protected begin(framing: Framing | { readonly kind: 'close' }): void {
    switch (framing.kind) {
      case 'none':
        this.#left = 0;
        this.state = 'length';
        return;
      case 'length':
        this.#left = framing.length;
        this.state = 'length';
        return;
      case 'chunked':
        this.state = 'chunk-size';
        return;
      case 'close':
        this.state = 'until-close';
    }
  }

  /** Behind the last byte of a body of known length. */
  get #isAtEnd(): boolean {
    return this.state === 'length' && this.#left === 0;
  }

  #end(trailers: readonly string[]): void {
    this.state = this.stateBehind;
    this.#events.onEnd(trailers);
  }

  #step(bytes: Buffer, at: number): number {
    switch (this.state) {
      case 'head':
        return this.#readHead(bytes, at);
      case 'trailers':
        return this.#readTrailers(bytes, at);
      case 'length':
      case 'chunk-data':
        return this.#readBody(bytes, at);
      case 'until-close':
        this.#events.onBody(at === 0 ? bytes : bytes.subarray(at));
        return bytes.length;
      case 'chunk-size':
      case 'chunk-end':
        return this.#readLine(bytes, at);
      case 'done':
        return at;
    }
  }

  #readHead(bytes: Buffer, at: number): number {
    if (this.#partial.size > 0) return this.#readBlock(bytes, at);
    const from = this.skip(bytes, at);
    return from < bytes.length ? this.#readBlock(bytes, from) : from;
  }

  #readBody(bytes: Buffer, at: number): number {
    const end = Math.min(bytes.length, at + this.#left);
    this.#left -= end - at;
    if (this.#left === 0 && this.state === 'chunk-data') this.state = 'chunk-end';
    this.#events.onBody(at === 0 && end === bytes.length ? bytes : bytes.subarray(at, end));
    return end;
  }

  /** Collects up to and with the empty line that ends a head or trailers. */
  #readBlock(bytes: Buffer, at: number): number {
    if (this.#partial.size === 0) {
      const end = bytes.indexOf(END_OF_HEAD, at);
      if (end >= 0) {
        this.#useBlock(bytes, at, end);
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
      this.#useBlock(all, 0, end);
      return at + end + END_OF_HEAD.length - before;
    }
    if (this.state === 'head') this.checkBeginning(all);
    // All but the last byte of its end may have come.
    if (all.length >= this.#maxHeadBytes + END_OF_HEAD.length) throw tooLarge();
    checkLineBreaks(all, Math.max(0, before - 1));
    return bytes.length;
  }

  /** @param end where the line break of its last line begins. */
  #useBlock(bytes: Buffer, start: number, end: number): void {
    if (end - start > this.#maxHeadBytes) throw tooLarge();
    const block = blockOf(bytes, start, end + LINE_BREAK.length);
    if (this.state === 'head') this.onHeadBlock(block);
    else this.#end(readFieldLines(block, LINE_BREAK.length, this.trailerLines));
  }

  /** Collects the line before a chunk, or what is left of the one behind it. */
  #readLine(bytes: Buffer, at: number): number {
    const lf = indexOfLf(bytes, at);
    const end = lf < 0 ? bytes.length : lf + 1;
    if (this.#partial.size + end - at > LONGEST_LINE_BYTES) throw new BadMessage('a chunk without a size');
    if (lf >= 0 && this.#partial.size === 0) {
      this.#useLine(bytes, at, lf);
      return end;
    }
    const line = this.#partial.push(bytes.subarray(at, end));
    if (lf >= 0) {
      this.#partial.clear();
      this.#useLine(line, 0, line.length - 1);
    }
    return end;
  }

  #useLine(bytes: Buffer, start: number, lf: number): void {
    if (lf === start || bytes[lf - 1] !== CR) throw new BadMessage('a line that does not end in CR LF');
    if (this.state === 'chunk-end') {
      if (lf !== start + 1) throw new BadMessage('a chunk longer than its size');
      this.state = 'chunk-size';
      return;
    }
    this.#left = readChunkSize(bytes, start, lf - 1);
    this.state = this.#left === 0 ? 'trailers' : 'chunk-data';
  }

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
    return this.#readBlock(bytes, at);
  }
}

function tooLarge(): BadMessage {
  return new BadMessage('its head is too large', true);
}

/** Lines before chunks are a few bytes long: a loop finds their end before a search has begun. */
function indexOfLf(bytes: Buffer, from: number): number {
  const end = Math.min(bytes.length, from + LONGEST_LINE_BYTES);
  for (let at = from; at < end; at += 1) if (bytes[at] === LF) return at;
  return -1;
}

function checkLineBreaks(bytes: Buffer, from: number): void {
  for (let lf = bytes.indexOf(LF, from); lf >= 0; lf = bytes.indexOf(LF, lf + 1))
    if (bytes[lf - 1] !== CR) throw new BadMessage('a line that does not end in CR LF');
}
