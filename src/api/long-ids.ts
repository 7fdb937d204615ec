const COMMA = 0x2c;
const CLOSE_BRACKET = 0x5d;
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
  }

  /** Goes on to about this byte. Undefined while the end has not been seen; then whether it is such a list. */
  look(to: number): boolean | undefined {
    const json = this.#json;
    const end = Math.min(to, json.length);
    let at = this.#at;
    let whole: boolean | undefined;
    while (at < end) {
      at = skipSpace(json, at);
      const first = at;
      let value = 0;
      for (let digit = json[at]! - ZERO; digit >= 0 && digit <= 9; digit = json[++at]! - ZERO)
        value = 10 * value + digit;
      // None, one too long, or one that begins with a zero, which is none.
      if (at === first || at - first > MOST_DIGITS || (at - first > 1 && json[first] === ZERO)) {
        whole = false;
        break;
      }
      this.#add(value);
      at = skipSpace(json, at);
      const behind = json[at];
      if (behind !== COMMA) whole = behind === CLOSE_BRACKET;
      if (whole === false) break;
      at += 1;
      if (whole) break;
    }
    this.#at = at;
    return whole ?? (at >= json.length ? false : undefined);
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

function skipSpace(json: Buffer, from: number): number {
  let at = from;
  for (let byte = json[at]; byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09; byte = json[at])
    at += 1;
  return at;
}
