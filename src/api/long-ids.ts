const COMMA = 0x2c;
const CLOSE_BRACKET = 0x5d;
const SPACE = 0x20;
const ZERO = 0x30;
/** Of ids: any number of so many digits fits into 31 bits. */
const MOST_DIGITS = 9;

/** A long list of token ids of a body: an array of numbers takes four times as long to make. */
export class LongIds {
  readonly ids: Int32Array;

  constructor(ids: Int32Array) {
    this.ids = ids;
  }

  toJSON(): readonly number[] {
    return [...this.ids];
  }
}

/** Reads lists of plain whole numbers out of JSON, one at a time. It can stop anywhere and go on later. */
export class IdScan {
  readonly #json: Buffer;
  #ids = new Int32Array(1024);
  #count = 0;
  #at = 0;
  #value = 0;
  /** Digits of the number that has begun; 0 before it. */
  #digits = 0;
  /** A number has ended, and no comma came yet. */
  #isBehind = false;

  constructor(json: Buffer) {
    this.#json = json;
  }

  /** Where it stopped: behind the list's end, or at what does not belong into such a list. */
  get at(): number {
    return this.#at;
  }

  /** What was read, in memory of its own. */
  get ids(): Int32Array {
    return this.#ids.slice(0, this.#count);
  }

  /** @param from Behind the opening bracket. */
  begin(from: number): void {
    this.#at = from;
    this.#count = 0;
    this.#value = 0;
    this.#digits = 0;
    this.#isBehind = false;
  }

  /** Goes on to this byte. Undefined while the end has not been seen; then whether it is such a list. */
  look(to: number): boolean | undefined {
    const json = this.#json;
    const end = Math.min(to, json.length);
    let value = this.#value;
    let digits = this.#digits;
    let at = this.#at;
    let whole: boolean | undefined;
    for (; at < end && whole === undefined; at += 1) {
      const digit = json[at]! - ZERO;
      if (digit >= 0 && digit <= 9) {
        // A number behind another one, one too long, or one that begins with a zero, which is none.
        if (this.#isBehind || digits === MOST_DIGITS || (digits > 0 && value === 0)) whole = false;
        value = 10 * value + digit;
        digits += 1;
        continue;
      }
      if (digits > 0) {
        this.#add(value);
        value = 0;
        digits = 0;
        this.#isBehind = true;
      }
      whole = this.#pass(digit + ZERO);
    }
    if (whole === false) at -= 1;
    this.#at = at;
    this.#value = value;
    this.#digits = digits;
    return whole ?? (end === json.length ? false : undefined);
  }

  #pass(byte: number): boolean | undefined {
    if (byte === COMMA && this.#isBehind) {
      this.#isBehind = false;
      return undefined;
    }
    if (byte === CLOSE_BRACKET) return this.#isBehind;
    return byte === SPACE || byte === 0x0a || byte === 0x0d || byte === 0x09 ? undefined : false;
  }

  #add(id: number): void {
    if (this.#count === this.#ids.length) {
      const grown = new Int32Array(2 * this.#count);
      grown.set(this.#ids);
      this.#ids = grown;
    }
    this.#ids[this.#count++] = id;
  }
}
