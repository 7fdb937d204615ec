import { KeySearch, searchKey } from './key-search.ts';

const USAGE = searchKey('usage');
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const SPACE = 0x20;
const LF = 0x0a;
const CR = 0x0d;
/** Far more than counts need, also where they are told per turn. */
const MOST_USAGE_BYTES = 16 * 1024;
/** Bytes of a string looked at one by one before searching on: a search for every quote of an escape-dense text would stall. */
const STRIDE = 64;

type State =
  /** For the key. */
  | 'search'
  /** Behind the key: white space, the colon. */
  | 'colon'
  /** Behind the colon: white space, the value. */
  | 'value'
  /** In the object. */
  | 'inside'
  /** Behind it, in the object that it is a member of. */
  | 'behind'
  /** Behind that object, in the one that holds it. */
  | 'outside';

/**
 * Finds `usage` in JSON that passes by, wherever it stands, in chunks of any cut. The bytes in front of it are only
 * searched for the key. Behind it brackets are counted: the end of the document tells how deep it stood, so that what
 * clients or models put into an answer, a tool's schema for one, cannot pass for it.
 */
export class UsageFinder {
  /** The text of the last one that stood in the outermost object. */
  top: string | undefined;
  /** In an object of that, as events of the responses and messages APIs have it. */
  nested: string | undefined;
  /** Whether each line is a document of its own, as in server-sent events, rather than the whole body. */
  readonly #lines: boolean;
  #hasCr = false;
  readonly #key = new KeySearch(USAGE);
  #state: State = 'search';
  #text = '';
  /** Of brackets: in the object from its own, behind it from the object that it is a member of. */
  #level = 0;
  #inString = false;
  #escaped = false;

  constructor(documents: 'lines' | 'body') {
    this.#lines = documents === 'lines';
  }

  push(chunk: Buffer): void {
    let at = 0;
    this.#hasCr = this.#lines && chunk.indexOf(CR) >= 0;
    while (at < chunk.length) {
      if (this.#state === 'search') {
        const key = this.#key.next(chunk, at);
        if (key < 0) break;
        this.#state = 'colon';
        at = key;
      } else if (this.#state === 'colon' || this.#state === 'value') {
        at = this.#behindKey(chunk, at);
      } else {
        at = this.#lines ? this.#alongLine(chunk, at) : this.#along(chunk, at, chunk.length);
      }
    }
    const last = chunk[chunk.length - 1];
    if (this.#lines && (last === LF || last === CR)) this.#key.forget();
    else this.#key.keep(chunk);
  }

  /** The body has ended. */
  end(): void {
    this.#documentEnded();
  }

  #alongLine(chunk: Buffer, from: number): number {
    const lf = chunk.indexOf(LF, from);
    const cr = this.#hasCr ? chunk.indexOf(CR, from) : -1;
    const next = cr >= 0 && (lf < 0 || cr < lf) ? cr : lf;
    const end = next < 0 ? chunk.length : next;
    const at = this.#along(chunk, from, end);
    if (at < end || next < 0) return at;
    this.#documentEnded();
    return end + 1;
  }

  /** Goes on to `end`, or to where there is something new to search for. */
  #along(chunk: Buffer, from: number, end: number): number {
    let at = from;
    while (at < end && this.#state !== 'search') {
      if (this.#state === 'inside') at = this.#take(chunk, at, end);
      else if (this.#state === 'behind') at = this.#leave(chunk, at, end, -1);
      else if (this.#state === 'outside') at = this.#outside(chunk, at, end);
      else at = this.#behindKey(chunk, at);
    }
    return at;
  }

  #behindKey(chunk: Buffer, at: number): number {
    const byte = chunk[at] ?? 0;
    if (byte <= SPACE) return at + 1;
    if (this.#state === 'colon' && byte === COLON) this.#state = 'value';
    else if (this.#state === 'value' && byte === OPEN_BRACE) {
      this.#state = 'inside';
      this.#level = 0;
      return at;
    } else {
      this.#giveUp();
      return at;
    }
    return at + 1;
  }

  #take(chunk: Buffer, from: number, end: number): number {
    const to = this.#brackets(chunk, from, end, 0);
    this.#text += chunk.toString('latin1', from, to);
    if (this.#text.length > MOST_USAGE_BYTES) this.#giveUp();
    else if (this.#level === 0) this.#state = 'behind';
    return to;
  }

  /** To the end of an object around: behind it nothing may come but white space, or it was not the one. */
  #leave(chunk: Buffer, from: number, end: number, lowest: number): number {
    if (this.#level > lowest) return this.#brackets(chunk, from, end, lowest);
    if ((chunk[from] ?? 0) <= SPACE) return from + 1;
    if (this.#lines && lowest === -1) this.#state = 'outside';
    else this.#giveUp();
    return from;
  }

  /** An object in the outermost one has been left: a member of the outermost has more right to the name. */
  #outside(chunk: Buffer, from: number, end: number): number {
    const key = this.#level === -1 ? this.#key.next(chunk, from) : -1;
    if (key < 0 || key > end) return this.#leave(chunk, from, end, -2);
    this.#giveUp();
    this.#state = 'colon';
    return key;
  }

  /** Follows brackets until the level falls to `lowest`: index behind the one that closed it, or `end`. */
  #brackets(chunk: Buffer, from: number, end: number, lowest: number): number {
    let at = from;
    while (at < end) {
      if (this.#inString) {
        at = this.#string(chunk, at, end);
        continue;
      }
      const byte = chunk[at] ?? 0;
      at += 1;
      // Most of what stands outside of strings is numbers and commas.
      if (byte < OPEN_BRACKET) {
        if (byte === QUOTE) this.#inString = true;
      } else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) this.#level += 1;
      else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
        this.#level -= 1;
        if (this.#level === lowest) return at;
      }
    }
    return at;
  }

  /** Index behind the closing quote of the string under way, or `end`. */
  #string(chunk: Buffer, from: number, end: number): number {
    let at = this.#escaped ? from + 1 : from;
    this.#escaped = false;
    while (at < end) {
      for (const stop = Math.min(end, at + STRIDE); at < stop;) {
        const byte = chunk[at];
        if (byte === QUOTE) {
          this.#inString = false;
          return at + 1;
        }
        at += byte === BACKSLASH ? 2 : 1;
      }
      if (at >= end) break;
      const found = chunk.indexOf(QUOTE, at);
      const quote = found < 0 || found > end ? end : found;
      // `at` is no second half of an escape, so backslashes pair up from there.
      let backslashes = 0;
      while (quote - 1 - backslashes >= at && chunk[quote - 1 - backslashes] === BACKSLASH) backslashes += 1;
      at = backslashes % 2 === 0 ? quote : quote + 1;
    }
    this.#escaped = at > end;
    return end;
  }

  #documentEnded(): void {
    const closed = (this.#state === 'behind' || this.#state === 'outside') && !this.#inString;
    if (closed && this.#level === -1) this.top = this.#text;
    else if (closed && this.#level === -2) this.nested = this.#text;
    this.#giveUp();
  }

  #giveUp(): void {
    this.#state = 'search';
    this.#text = '';
    this.#level = 0;
    this.#inString = this.#escaped = false;
  }
}
