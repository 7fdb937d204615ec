import { stringEnd } from './string-end.ts';

/** Told of a member: its key with the quotes, its value without the space around it. False ends the scan. */
export type VisitMember = (keyStart: number, keyEnd: number, start: number, end: number) => boolean;

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

/** What comes next. `inKey` and `inValue`: it has begun. */
type Place = 'object' | 'first' | 'key' | 'inKey' | 'colon' | 'value' | 'inValue' | 'after' | 'end';

/**
 * Finds the top-level members of a JSON object in its bytes. It can stop anywhere and go on later, so that nothing waits
 * for a long body. Values are checked for balanced brackets and closed strings only.
 */
export class MemberScan {
  readonly #json: Buffer;
  readonly #visit: VisitMember;
  #place: Place = 'object';
  /** Nothing before it is looked at again. One behind the end of what was seen where that ended in half of an escape. */
  #at = 0;
  #keyStart = 0;
  #keyEnd = 0;
  #start = 0;
  /** Of brackets, within a value. */
  #depth = 0;
  /** Within a string of a value in brackets. */
  #inString = false;
  #parts = 0;

  constructor(json: Buffer, visit: VisitMember) {
    this.#json = json;
    this.#visit = visit;
  }

  /** Strings, lists and objects so far that stand within values: what takes time and memory when it is parsed. */
  get parts(): number {
    return this.#parts;
  }

  /**
   * Goes on to this byte, or the end. Undefined while the end has not been seen; then whether the bytes are one JSON
   * object. False also where `visit` was not content.
   */
  look(to: number): boolean | undefined {
    const isAll = to >= this.#json.length;
    const seen = isAll ? this.#json : this.#json.subarray(0, to);
    for (;;) {
      if (this.#place !== 'inKey' && this.#place !== 'inValue') this.#at = skipSpace(seen, this.#at);
      if (this.#at >= seen.length) break;
      const goesOn = this.#step(seen);
      if (goesOn === undefined) break;
      if (!goesOn) return false;
    }
    return isAll ? this.#place === 'end' : undefined;
  }

  /** False where it cannot be an object, undefined where more must be seen. */
  #step(seen: Buffer): boolean | undefined {
    switch (this.#place) {
      case 'object':
        return this.#pass(seen, OPEN_BRACE, 'first');
      case 'first':
        if (seen[this.#at] === CLOSE_BRACE) return this.#pass(seen, CLOSE_BRACE, 'end');
        return this.#beginKey(seen);
      case 'key':
        return this.#beginKey(seen);
      case 'inKey':
        if (!this.#passString(seen)) return undefined;
        this.#keyEnd = this.#at;
        this.#place = 'colon';
        return true;
      case 'colon':
        return this.#pass(seen, COLON, 'value');
      case 'value':
        this.#start = this.#at;
        this.#depth = 0;
        this.#place = 'inValue';
        return true;
      case 'inValue':
        return this.#passValue(seen) ? this.#endValue(seen) : undefined;
      case 'after':
        if (seen[this.#at] === COMMA) return this.#pass(seen, COMMA, 'key');
        return this.#pass(seen, CLOSE_BRACE, 'end');
      case 'end':
        return false;
    }
  }

  #pass(seen: Buffer, byte: number, place: Place): boolean {
    if (seen[this.#at] !== byte) return false;
    this.#at += 1;
    this.#place = place;
    return true;
  }

  #beginKey(seen: Buffer): boolean {
    this.#keyStart = this.#at;
    return this.#pass(seen, QUOTE, 'inKey');
  }

  #endValue(seen: Buffer): boolean {
    this.#place = 'after';
    const first = seen[this.#start];
    const nested = first === QUOTE || first === OPEN_BRACE || first === OPEN_BRACKET;
    if (!nested && !SCALAR.test(seen.toString('latin1', this.#start, this.#at))) return false;
    return this.#visit(this.#keyStart, this.#keyEnd, this.#start, this.#at);
  }

  /** Whether the value's end was seen; it is passed then. */
  #passValue(seen: Buffer): boolean {
    const first = seen[this.#start];
    if (first === QUOTE) {
      if (this.#at === this.#start) this.#at += 1;
      return this.#passString(seen);
    }
    return first === OPEN_BRACE || first === OPEN_BRACKET ? this.#passNested(seen) : this.#passScalar(seen);
  }

  #passNested(seen: Buffer): boolean {
    if (this.#inString && !this.#passString(seen)) return false;
    this.#inString = false;
    let depth = this.#depth;
    let at = this.#at;
    let parts = 0;
    while (at < seen.length) {
      const byte = seen[at]!;
      at += 1;
      if (byte === QUOTE) {
        parts += 1;
        this.#at = at;
        if (!this.#passString(seen)) {
          this.#inString = true;
          break;
        }
        at = this.#at;
      } else if (byte < OPEN_BRACKET) {
        // Numbers, mostly, and what stands between values.
        continue;
      } else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
        parts += 1;
        depth += 1;
      } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
        depth -= 1;
        if (depth === 0) break;
      }
    }
    if (!this.#inString) this.#at = at;
    this.#depth = depth;
    this.#parts += parts;
    return depth === 0;
  }

  #passScalar(seen: Buffer): boolean {
    let at = this.#at;
    while (at < seen.length) {
      const byte = seen[at];
      if (byte === COMMA || byte === CLOSE_BRACE || isSpace(byte)) break;
      at += 1;
    }
    this.#at = at;
    return at < seen.length;
  }

  /** Whether the closing quote was seen; it is passed then. */
  #passString(seen: Buffer): boolean {
    const end = stringEnd(seen, this.#at);
    this.#at = end < 0 ? ~end : end;
    return end >= 0;
  }
}

/** Python's parser, and so vLLM, knows the last three as well. */
const SCALAR = /^(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|NaN|-?Infinity)$/;

function skipSpace(json: Buffer, from: number): number {
  let at = from;
  while (at < json.length && isSpace(json[at])) at += 1;
  return at;
}

function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}
