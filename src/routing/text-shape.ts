/**
 * What a prompt's text is made of, as far as it says how many tokens that comes to: a tokenizer takes four letters of English at a
 * time, each digit by itself, and two or three bytes of what it has seen less of. By `SHAPE`: bytes of each kind, message frames, and
 * 1 for what a chat template adds to every prompt.
 */
export type TextShape = Float64Array;

export const SHAPE = {
  letters: 0,
  /** Digits, and `: ; < = > ?`. */
  digits: 1,
  /** Blanks, line ends and the other signs of ASCII. */
  others: 2,
  /** Bytes of characters that take two in UTF-8: Cyrillic, Greek, Arabic, letters with accents. */
  twoBytes: 3,
  /** Three: Chinese, Japanese, Korean, Thai, Devanagari. */
  threeBytes: 4,
  /** Four: emoji. */
  fourBytes: 5,
  frames: 6,
  prompts: 7,
} as const;
export const SHAPE_SIZE = 8;

const EVERY_BYTE = 0x01010101;
/** Set in every word that is not ASCII. */
const HIGH_BITS = 0x80808080 | 0;

/** Counts the kinds of bytes in words of text. */
export class ByteKinds {
  #letters = 0;
  #digits = 0;
  #ascii = 0;
  #twoBytes = 0;
  #threeBytes = 0;
  #fourBytes = 0;

  /** Four words of four bytes each. */
  words(a: number, b: number, c: number, d: number): void {
    if (((a | b | c | d) & HIGH_BITS) === 0) this.#ascii16(a, b, c, d);
    else {
      this.#utf8(a);
      this.#utf8(b);
      this.#utf8(c);
      this.#utf8(d);
    }
  }

  /** The usual case. */
  #ascii16(a: number, b: number, c: number, d: number): void {
    this.#ascii += 16;
    this.#letters += sumOf(lettersIn(a) + lettersIn(b) + lettersIn(c) + lettersIn(d));
    this.#digits += sumOf(digitsIn(a) + digitsIn(b) + digitsIn(c) + digitsIn(d));
  }

  /** Characters are counted where they begin, with all of their bytes. */
  #utf8(word: number): void {
    const high = (word >>> 7) & EVERY_BYTE;
    const begins = high & (word >>> 6);
    const three = begins & (word >>> 5);
    const four = three & (word >>> 4);
    // Bytes that UTF-8 never has are marks of the hasher's.
    if ((four & (word >>> 3)) !== 0) return;
    const ascii = ~high & EVERY_BYTE;
    this.#ascii += sumOf(ascii);
    this.#letters += sumOf(ascii & lettersIn(word));
    this.#digits += sumOf(ascii & digitsIn(word));
    this.#fourBytes += 4 * sumOf(four);
    this.#threeBytes += 3 * (sumOf(three) - sumOf(four));
    this.#twoBytes += 2 * (sumOf(begins) - sumOf(three));
  }

  /** Forgets what was counted. */
  clear(): void {
    this.#letters = this.#digits = this.#ascii = 0;
    this.#twoBytes = this.#threeBytes = this.#fourBytes = 0;
  }

  /** The shape of a text of so many bytes, of which what was counted is a sample; where nothing was, it is English. */
  shapeOf(textBytes: number, frames: number): TextShape {
    const shape = new Float64Array(SHAPE_SIZE);
    const counted = this.#ascii + this.#twoBytes + this.#threeBytes + this.#fourBytes;
    const share = counted === 0 ? 0 : textBytes / counted;
    shape[SHAPE.letters] = counted === 0 ? USUAL_LETTERS * textBytes : share * this.#letters;
    shape[SHAPE.digits] = share * this.#digits;
    shape[SHAPE.others] =
      counted === 0
        ? (1 - USUAL_LETTERS) * textBytes
        : share * Math.max(0, this.#ascii - this.#letters - this.#digits);
    shape[SHAPE.twoBytes] = share * this.#twoBytes;
    shape[SHAPE.threeBytes] = share * this.#threeBytes;
    shape[SHAPE.fourBytes] = share * this.#fourBytes;
    shape[SHAPE.frames] = frames;
    shape[SHAPE.prompts] = 1;
    return shape;
  }
}

const USUAL_LETTERS = 0.8;

/** A 1 in each byte of ASCII that is a letter, or one of the few signs among them. */
function lettersIn(word: number): number {
  return (word >>> 6) & EVERY_BYTE;
}

/** 0x30 to 0x3f. */
function digitsIn(word: number): number {
  return (word >>> 4) & (word >>> 5) & ~(word >>> 6) & EVERY_BYTE;
}

/** Of a word with small numbers in its bytes. */
function sumOf(bytes: number): number {
  return Math.imul(bytes, EVERY_BYTE) >>> 24;
}
