import { isUtf8 } from 'node:buffer';
import type { Pieces } from '../base/in-pieces.ts';
import { IdScan, LongIds } from './long-ids.ts';
import { LongText } from './long-text.ts';
import { parseJson } from './python-json.ts';
import { StringDecoder } from './string-decoder.ts';

/** Shorter strings and lists are parsed with what stands around them. */
const LONG_BYTES = 1024;
/** More than this around them is not parsed in one go; and it would be a string that is a page of its own. */
const MOST_AROUND_BYTES = 120 * 1024;
/** Between two strings. */
const MOST_OTHER_LISTS = 64;
/** Looked at in one go. */
const PIECE_BYTES = 256 * 1024;
/** Bytes looked at one by one before a search: what stands between strings is short, mostly. */
const STRIDE = 16;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;
const OPEN_BRACKET = 0x5b;
const SPACE = 0x20;

/** Begins the string in the place of a long value. Where another one could spell it, nothing is left out. */
const MARK = '\\u0000';
const MARK_UNIT = 0;

/**
 * The value of a JSON text that is mostly long strings and lists of token ids: instead of being made into strings and arrays
 * these are `LongText` and `LongIds`, and take little more than a look at their bytes. It yields after every piece that takes
 * long. Undefined for what is not like that, and for what is no JSON: who parses it learns why.
 */
export function* outlining(json: Buffer): Pieces<unknown> {
  if (!isUtf8(json)) return undefined;
  const outline = new Outline(json);
  const mostAround = Math.min(MOST_AROUND_BYTES, json.length / 2);
  let at = 0;
  let yieldedAt = 0;
  while (at < json.length) {
    const quote = nextQuote(json, at);
    if (quote - at >= LONG_BYTES && !(yield* leavingOutIds(outline, at, quote))) return undefined;
    at = quote;
    if (quote < json.length) {
      at = yield* leavingOutText(outline, quote);
      if (at < 0) return undefined;
    }
    if (at - outline.leftOut > mostAround) return undefined;
    if (at - yieldedAt < PIECE_BYTES) continue;
    yieldedAt = at;
    yield;
  }
  return outline.value();
}

/** Gives where the string ends; -1 where it is a long key, or no JSON. */
function* leavingOutText(outline: Outline, start: number): Pieces<number> {
  const { json } = outline;
  const quote = nextQuote(json, start + 1);
  if (outline.hasBackslash(start, quote)) return yield* leavingOutDecoded(outline, start);
  const end = quote + 1;
  if (end > json.length) return -1;
  if (end - start < LONG_BYTES) return end;
  if (isKey(json, end) || outline.hasControl(start, end)) return -1;
  outline.leaveOut(start, end, new LongText(json, start + 1, quote, true));
  return end;
}

/** The same for one that has escapes. */
function* leavingOutDecoded(outline: Outline, start: number): Pieces<number> {
  const decoder = outline.decoderFrom(start + 1);
  const { used } = decoder;
  let isString = decoder.look(start + PIECE_BYTES);
  while (isString === undefined) {
    yield;
    isString = decoder.look(decoder.at + PIECE_BYTES);
  }
  const end = decoder.at + 1;
  if (!isString) return -1;
  if (end - start < LONG_BYTES) {
    decoder.drop(used);
    return end;
  }
  if (isKey(outline.json, end)) return -1;
  outline.leaveOut(start, end, new LongText(decoder.out, used, decoder.used, false));
  return end;
}

/** There is no string between the two. What is no such list is left for the parser. False where most are none. */
function* leavingOutIds(outline: Outline, from: number, to: number): Pieces<boolean> {
  const { json } = outline;
  const scan = new IdScan(json);
  let others = 0;
  for (let at = from; others < MOST_OTHER_LISTS;) {
    const start = json.indexOf(OPEN_BRACKET, at);
    if (start < 0 || start >= to) return true;
    scan.begin(start + 1);
    let isList = scan.look(start + PIECE_BYTES);
    while (isList === undefined) {
      yield;
      isList = scan.look(scan.at + PIECE_BYTES);
    }
    at = scan.at;
    if (isList && at - start >= LONG_BYTES) outline.leaveOut(start, at, new LongIds(scan.ids));
    else others += 1;
  }
  return false;
}

/** JSON without its long values. */
class Outline {
  readonly json: Buffer;
  /** Bytes of the long values. */
  leftOut = 0;
  readonly #long: (LongText | LongIds)[] = [];
  #around = '';
  /** What lies before it is in there. */
  #from = 0;
  #isPlain = true;
  /** No backslash lies between where it was looked for last and this. */
  #backslash = -1;
  #decoder: StringDecoder | undefined;
  /** The bytes from the first on that a word may begin with. */
  readonly #words: Int32Array;
  readonly #firstWord: number;

  constructor(json: Buffer) {
    this.json = json;
    this.#firstWord = -json.byteOffset & 3;
    this.#words = new Int32Array(
      json.buffer,
      json.byteOffset + this.#firstWord,
      (json.length - this.#firstWord) >> 2,
    );
  }

  leaveOut(start: number, end: number, value: LongText | LongIds): void {
    this.#parseLater(start);
    this.#around += `"${MARK}${this.#long.length}"`;
    this.#long.push(value);
    this.#from = end;
    this.leftOut += end - start;
  }

  /** With the long values in their places. Undefined where it is no JSON. */
  value(): unknown {
    this.#parseLater(this.json.length);
    if (!this.#isPlain) return undefined;
    try {
      return putBack(parseJson(this.#around), this.#long);
    } catch {
      return undefined;
    }
  }

  decoderFrom(at: number): StringDecoder {
    this.#decoder ??= new StringDecoder(this.json, at);
    this.#decoder.begin(at);
    return this.#decoder;
  }

  hasBackslash(start: number, end: number): boolean {
    if (this.#backslash < start) {
      const found = this.json.indexOf(BACKSLASH, start);
      this.#backslash = found < 0 ? this.json.length : found;
    }
    return this.#backslash < end;
  }

  /** Whether there is a byte below a space. Four are looked at together: one below borrows from the bit above its own. */
  hasControl(start: number, end: number): boolean {
    const { json } = this;
    const words = this.#words;
    const first = Math.ceil((start - this.#firstWord) / 4);
    const last = (end - this.#firstWord) >> 2;
    let below = 0;
    for (let at = first; at < last; at++) {
      const word = words[at]!;
      below |= (word - 0x20202020) & ~word;
    }
    if ((below & 0x80808080) !== 0) return true;
    for (let at = start; at < this.#firstWord + 4 * first; at++) if (json[at]! < SPACE) return true;
    for (let at = this.#firstWord + 4 * last; at < end; at++) if (json[at]! < SPACE) return true;
    return false;
  }

  #parseLater(to: number): void {
    const text = this.json.toString('utf8', this.#from, to);
    if (text.includes(MARK)) this.#isPlain = false;
    this.#around += text;
  }
}

function putBack(root: unknown, long: readonly (LongText | LongIds)[]): unknown {
  const top: unknown[] = [root];
  // By a stack of its own: it may be nested deeper than calls can be.
  const open: object[] = [top];
  let left = long.length;
  const look = (holder: object, key: string | number, child: unknown): void => {
    if (typeof child === 'object' && child !== null) open.push(child);
    if (typeof child !== 'string' || child.charCodeAt(0) !== MARK_UNIT) return;
    // Not by assignment, which is something else for `__proto__`.
    Object.defineProperty(holder, key, { value: long[Number(child.slice(1))] });
    left -= 1;
  };
  for (let holder = open.pop(); holder !== undefined && left > 0; holder = open.pop()) {
    if (Array.isArray(holder)) {
      for (let at = 0; at < holder.length; at++) look(holder, at, holder[at]);
    } else {
      // What was parsed has no members but its own.
      for (const key in holder) look(holder, key, (holder as Record<string, unknown>)[key]);
    }
  }
  return top[0];
}

function nextQuote(json: Buffer, from: number): number {
  const stop = Math.min(json.length, from + STRIDE);
  for (let at = from; at < stop; at += 1) if (json[at] === QUOTE) return at;
  const found = json.indexOf(QUOTE, stop);
  return found < 0 ? json.length : found;
}

/** Whether what ends here is a key. */
function isKey(json: Buffer, end: number): boolean {
  let at = end;
  while (at < json.length && json[at]! <= SPACE) at += 1;
  return json[at] === COLON;
}
