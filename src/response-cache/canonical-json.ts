import { isUtf8 } from 'node:buffer';
import { bomLength } from '../api/json-scan.ts';

/** Deeper bodies have no canonical form here: no request is like that, and each level takes some of the stack. */
const DEEPEST = 256;
const SPACE = 0x20;
const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

interface Member {
  readonly key: string;
  readonly start: number;
  readonly end: number;
}

/**
 * One spelling for all bodies that say the same: members in the order of their keys, at every depth, no white space, escapes
 * only where JSON wants them. Numbers keep their spelling, since `1` and `1.0` are not the same to every reader. It is not
 * JSON itself: each member and element ends with a comma.
 *
 * @param without Members of the outermost object that do not count.
 * @returns undefined for what is no object, is no JSON, names a member twice, or is too deep.
 */
export function canonicalJson(body: Buffer, without: ReadonlySet<string>): Buffer | undefined {
  return new Canon(body.subarray(bomLength(body)), without).run();
}

class Canon {
  readonly #in: Buffer;
  readonly #without: ReadonlySet<string>;
  /** Each container ends with one comma more than it had, and has two brackets. */
  readonly #out: Buffer;
  #at = 0;
  #to = 0;

  constructor(body: Buffer, without: ReadonlySet<string>) {
    this.#in = body;
    this.#without = without;
    this.#out = Buffer.allocUnsafe(Math.ceil(body.length * 1.5) + 1);
  }

  run(): Buffer | undefined {
    if (this.#next() !== OPEN_BRACE || !this.#value(0)) return undefined;
    this.#next();
    return this.#at === this.#in.length ? this.#out.subarray(0, this.#to) : undefined;
  }

  /** The next byte that is no white space, not taken. */
  #next(): number {
    for (;;) {
      const byte = this.#in[this.#at] ?? -1;
      if (byte !== SPACE && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return byte;
      this.#at += 1;
    }
  }

  #value(depth: number): boolean {
    switch (this.#next()) {
      case OPEN_BRACE:
        return depth < DEEPEST && this.#object(depth + 1);
      case OPEN_BRACKET:
        return depth < DEEPEST && this.#list(depth + 1);
      case QUOTE:
        return this.#string();
      default:
        return this.#word();
    }
  }

  #list(depth: number): boolean {
    this.#put(OPEN_BRACKET);
    this.#at += 1;
    if (this.#next() === CLOSE_BRACKET) this.#at += 1;
    else {
      for (;;) {
        if (!this.#value(depth)) return false;
        this.#put(COMMA);
        const byte = this.#next();
        this.#at += 1;
        if (byte === CLOSE_BRACKET) break;
        if (byte !== COMMA) return false;
      }
    }
    this.#put(CLOSE_BRACKET);
    return true;
  }

  #object(depth: number): boolean {
    this.#put(OPEN_BRACE);
    this.#at += 1;
    const members: Member[] = [];
    if (this.#next() === CLOSE_BRACE) this.#at += 1;
    else {
      for (;;) {
        const member = this.#member(depth);
        if (!member) return false;
        members.push(member);
        const byte = this.#next();
        this.#at += 1;
        if (byte === CLOSE_BRACE) break;
        if (byte !== COMMA) return false;
      }
    }
    if (!this.#sort(members, depth === 1)) return false;
    this.#put(CLOSE_BRACE);
    return true;
  }

  #member(depth: number): Member | undefined {
    const start = this.#to;
    if (this.#next() !== QUOTE || !this.#string()) return undefined;
    const key = this.#out.toString('utf8', start + 1, this.#to - 1);
    if (this.#next() !== COLON) return undefined;
    this.#at += 1;
    this.#put(COLON);
    if (!this.#value(depth)) return undefined;
    this.#put(COMMA);
    return { key, start, end: this.#to };
  }

  /** Brings the members just written into the order of their keys; false where two have the same. */
  #sort(members: readonly Member[], isOutermost: boolean): boolean {
    const [first] = members;
    if (!first) return true;
    const sorted = members.toSorted((left, right) => (left.key < right.key ? -1 : 1));
    if (sorted.some(({ key }, index) => key === sorted[index - 1]?.key)) return false;
    const kept = isOutermost ? sorted.filter(({ key }) => !this.#without.has(key)) : sorted;
    if (kept.length === members.length && kept.every((member, index) => member === members[index]))
      return true;
    const from = first.start;
    const written = Buffer.from(this.#out.subarray(from, this.#to));
    this.#to = from;
    for (const { start, end } of kept)
      this.#to += written.copy(this.#out, this.#to, start - from, end - from);
    return true;
  }

  #string(): boolean {
    const start = this.#at;
    let hasEscape = false;
    let end = this.#in.indexOf(QUOTE, start + 1);
    let escape = this.#in.indexOf(BACKSLASH, start + 1);
    while (escape >= 0 && escape < end) {
      hasEscape = true;
      if (escape + 1 === end) end = this.#in.indexOf(QUOTE, escape + 2);
      escape = this.#in.indexOf(BACKSLASH, escape + 2);
    }
    if (end < 0) return false;
    this.#at = end + 1;
    const written = this.#in.subarray(start, end + 1);
    if (!hasEscape) {
      this.#to += written.copy(this.#out, this.#to);
      return true;
    }
    const plain = isUtf8(written) ? respelled(written.toString()) : undefined;
    if (plain === undefined) return false;
    this.#to += this.#out.write(plain, this.#to);
    return true;
  }

  /** A number, or one of the three words; what it is worth is for the worker to say. */
  #word(): boolean {
    const start = this.#at;
    while (isOfWord(this.#in[this.#at] ?? 0)) this.#at += 1;
    if (this.#at === start) return false;
    this.#to += this.#in.copy(this.#out, this.#to, start, this.#at);
    return true;
  }

  #put(byte: number): void {
    this.#out[this.#to] = byte;
    this.#to += 1;
  }
}

function respelled(text: string): string | undefined {
  try {
    return JSON.stringify(JSON.parse(text));
  } catch {
    return undefined;
  }
}

/** Letters, digits, `+`, `-` and `.`. */
function isOfWord(byte: number): boolean {
  return (
    (byte >= 0x30 && byte <= 0x39) ||
    (byte >= 0x61 && byte <= 0x7a) ||
    (byte >= 0x41 && byte <= 0x5a) ||
    byte === 0x2b ||
    byte === 0x2d ||
    byte === 0x2e
  );
}
