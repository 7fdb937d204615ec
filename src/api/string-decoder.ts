const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const SPACE = 0x20;
const LETTER_U = 0x75;

/** What the letter of an escape stands for; 0 where there is no such escape. */
const ESCAPED = new Uint8Array(256);
for (const [letter, value] of Object.entries({
  '"': '"',
  '\\': '\\',
  '/': '/',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
}))
  ESCAPED[letter.charCodeAt(0)] = value.charCodeAt(0);

/** Of hexadecimal digits; -1 where there is none. */
const DIGITS = new Int8Array(256).fill(-1);
for (let value = 0; value < 16; value += 1) {
  const digit = value.toString(16);
  DIGITS[digit.charCodeAt(0)] = value;
  DIGITS[digit.toUpperCase().charCodeAt(0)] = value;
}

/**
 * Decodes strings of JSON that have escapes into bytes of UTF-8, one at a time: they are never longer than what spells them.
 * It can stop anywhere and go on later.
 */
export class StringDecoder {
  readonly #json: Buffer;
  /** What the strings spell, one behind the other. */
  readonly out: Buffer;
  readonly #words: DataView;
  readonly #outWords: DataView;
  #at: number;
  #used = 0;

  /** @param from Before it there is no such string. */
  constructor(json: Buffer, from: number) {
    this.#json = json;
    this.#at = from;
    this.out = Buffer.allocUnsafeSlow(json.length - from);
    this.#words = new DataView(json.buffer, json.byteOffset, json.length);
    this.#outWords = new DataView(this.out.buffer);
  }

  /** Bytes of `out` that are in use. */
  get used(): number {
    return this.#used;
  }

  /** Where it stopped: at the closing quote. */
  get at(): number {
    return this.#at;
  }

  /** @param from Behind the opening quote. */
  begin(from: number): void {
    this.#at = from;
  }

  /** Forgets what was decoded behind this many bytes. */
  drop(used: number): void {
    this.#used = used;
  }

  /**
   * Goes on to about this byte. Undefined while the end has not been seen; then whether it is a string that has characters
   * only, which half of one is not.
   */
  look(to: number): boolean | undefined {
    const json = this.#json;
    const { out } = this;
    const words = this.#words;
    const outWords = this.#outWords;
    const end = Math.min(to, json.length);
    let at = this.#at;
    let used = this.#used;
    let isRight: boolean | undefined;
    while (at < end) {
      for (; at + 4 <= end; at += 4, used += 4) {
        const word = words.getInt32(at, true);
        if (hasSpecial(word)) break;
        outWords.setInt32(used, word, true);
      }
      let byte = json[at]!;
      while (byte !== BACKSLASH && byte !== QUOTE && byte >= SPACE && at < end) {
        out[used++] = byte;
        byte = json[++at]!;
      }
      if (at >= end) break;
      if (byte === BACKSLASH) {
        const letter = json[at + 1]!;
        const value = ESCAPED[letter]!;
        if (value !== 0) {
          out[used++] = value;
          at += 2;
          continue;
        }
        const code = letter === LETTER_U ? this.#codeAt(at) : -1;
        if (code < 0) {
          isRight = false;
          break;
        }
        used = encode(code, out, used);
        at += code < 0x10000 ? 6 : 12;
      } else {
        isRight = byte === QUOTE;
        break;
      }
    }
    this.#at = at;
    this.#used = used;
    return isRight ?? (at >= json.length ? false : undefined);
  }

  /** The character that is spelt from here on, be it by two escapes; -1 where there is none. */
  #codeAt(at: number): number {
    const first = this.#unitAt(at);
    if (first < 0xd800 || first > 0xdfff) return first;
    const second = this.#unitAt(at + 6);
    if (first > 0xdbff || second < 0xdc00 || second > 0xdfff) return -1;
    return 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
  }

  #unitAt(at: number): number {
    const json = this.#json;
    if (at + 6 > json.length || json[at] !== BACKSLASH || json[at + 1] !== LETTER_U) return -1;
    // Below zero where one of them is.
    return (
      (DIGITS[json[at + 2]!]! << 12) |
      (DIGITS[json[at + 3]!]! << 8) |
      (DIGITS[json[at + 4]!]! << 4) |
      DIGITS[json[at + 5]!]!
    );
  }
}

/** Whether one of the four bytes is a quote, a backslash, or below a space. */
function hasSpecial(word: number): boolean {
  const quote = word ^ 0x22222222;
  const backslash = word ^ 0x5c5c5c5c;
  const found =
    ((word - 0x20202020) & ~word) | ((quote - 0x01010101) & ~quote) | ((backslash - 0x01010101) & ~backslash);
  return (found & 0x80808080) !== 0;
}

/** Gives where the next one goes. */
function encode(code: number, out: Buffer, at: number): number {
  if (code < 0x80) {
    out[at] = code;
    return at + 1;
  }
  if (code < 0x800) {
    out[at] = 0xc0 | (code >> 6);
    out[at + 1] = 0x80 | (code & 0x3f);
    return at + 2;
  }
  if (code < 0x10000) {
    out[at] = 0xe0 | (code >> 12);
    out[at + 1] = 0x80 | ((code >> 6) & 0x3f);
    out[at + 2] = 0x80 | (code & 0x3f);
    return at + 3;
  }
  out[at] = 0xf0 | (code >> 18);
  out[at + 1] = 0x80 | ((code >> 12) & 0x3f);
  out[at + 2] = 0x80 | ((code >> 6) & 0x3f);
  out[at + 3] = 0x80 | (code & 0x3f);
  return at + 4;
}
