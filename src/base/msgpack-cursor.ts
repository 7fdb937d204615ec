/** What was sent is not msgpack, or not of the type that belongs there. */
export class BadMsgpack extends Error {
  override readonly name = 'BadMsgpack';
}

const NIL = 0xc0;
/** In `SIZES`: what is in it must be looked at. */
const CONTAINER = 64;

/** By the first byte of a value: how many bytes it takes altogether. 0xc1 begins none. */
const SIZES = Uint8Array.from({ length: 256 }, (_, tag) => {
  if (tag === 0xc1) return 0;
  if (tag <= 0x7f || tag >= 0xe0 || (tag >= NIL && tag <= 0xc3)) return 1;
  if (tag >= 0xa0 && tag <= 0xbf) return 1 + (tag & 0x1f);
  if (tag >= 0xcc && tag <= 0xd3) return 1 + (1 << (tag & 3));
  if (tag === 0xca || tag === 0xcb) return tag === 0xca ? 5 : 9;
  if (tag >= 0xd4 && tag <= 0xd8) return 2 + (1 << (tag - 0xd4));
  return CONTAINER;
});

/**
 * Walks through msgpack and reads of it what is asked for, straight into typed arrays: a library makes an object of every
 * value first, and a BigInt of every name. Nothing recurses, and no length is believed that the bytes cannot hold.
 */
export class MsgpackCursor {
  at = 0;
  bytes: Buffer;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  begin(bytes: Buffer): void {
    this.bytes = bytes;
    this.at = 0;
  }

  get done(): boolean {
    return this.at === this.bytes.length;
  }

  /** @returns whether it was nil; else nothing is read. */
  takeNil(): boolean {
    if (this.bytes[this.at] !== NIL) return false;
    this.at += 1;
    return true;
  }

  get isMap(): boolean {
    const tag = this.bytes[this.at];
    return tag !== undefined && ((tag & 0xf0) === 0x80 || tag === 0xde || tag === 0xdf);
  }

  get isArray(): boolean {
    const tag = this.bytes[this.at];
    return tag !== undefined && ((tag & 0xf0) === 0x90 || tag === 0xdc || tag === 0xdd);
  }

  get isText(): boolean {
    const tag = this.bytes[this.at];
    return tag !== undefined && ((tag & 0xe0) === 0xa0 || (tag >= 0xd9 && tag <= 0xdb));
  }

  get isBytes(): boolean {
    const tag = this.bytes[this.at];
    return tag !== undefined && tag >= 0xc4 && tag <= 0xc6;
  }

  /** Number of elements. */
  readArray(): number {
    const tag = this.#tag();
    let size: number;
    if ((tag & 0xf0) === 0x90) size = tag & 0x0f;
    else if (tag === 0xdc) size = this.#unsigned(2);
    else if (tag === 0xdd) size = this.#unsigned(4);
    else throw new BadMsgpack('not an array');
    return this.#believable(size);
  }

  /** Number of pairs. */
  readMap(): number {
    const tag = this.#tag();
    let size: number;
    if ((tag & 0xf0) === 0x80) size = tag & 0x0f;
    else if (tag === 0xde) size = this.#unsigned(2);
    else if (tag === 0xdf) size = this.#unsigned(4);
    else throw new BadMsgpack('not a map');
    this.#believable(2 * size);
    return size;
  }

  readText(): string {
    const length = this.#textLength();
    const from = this.#skipBytes(length);
    return this.bytes.toString('utf8', from, from + length);
  }

  /**
   * Reads a text and says which one of `words` it is, without making a string; -1 for none of them.
   */
  readWord(words: Words): number {
    const length = this.#textLength();
    const from = this.#skipBytes(length);
    return words.indexOf(this.bytes, from, length);
  }

  readBytes(): Buffer {
    const length = this.#binLength();
    const from = this.#skipBytes(length);
    return this.bytes.subarray(from, from + length);
  }

  /** An integer or a float. Beyond 2^53 it is not exact. */
  readNumber(): number {
    const tag = this.#tag();
    if (tag <= 0x7f) return tag;
    if (tag >= 0xe0) return tag - 0x100;
    if (tag >= 0xcc && tag <= 0xcf) return this.#unsigned(1 << (tag - 0xcc));
    if (tag >= 0xd0 && tag <= 0xd3) return this.#signed(1 << (tag - 0xd0));
    if (tag === 0xca) return this.bytes.readFloatBE(this.#skipBytes(4));
    if (tag === 0xcb) return this.bytes.readDoubleBE(this.#skipBytes(8));
    throw new BadMsgpack('not a number');
  }

  /** Reads so many integers of 32 bits into an array. @returns false where one of them is none; the cursor stands anywhere then. */
  readUint32s(into: Uint32Array): boolean {
    const { bytes } = this;
    let { at } = this;
    for (let i = 0; i < into.length; i += 1) {
      const tag = bytes[at]!;
      if (tag <= 0x7f) {
        into[i] = tag;
        at += 1;
      } else if (tag === 0xcd) {
        into[i] = (bytes[at + 1]! << 8) | bytes[at + 2]!;
        at += 3;
      } else if (tag === 0xce) {
        into[i] = (bytes[at + 1]! << 24) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 8) | bytes[at + 4]!;
        at += 5;
      } else if (tag === 0xcc) {
        into[i] = bytes[at + 1]!;
        at += 2;
      } else {
        if (!(tag >= 0xcf && tag <= 0xd3)) return false;
        this.at = at;
        const value = this.readNumber();
        if (value < 0 || value > 0xffffffff) return false;
        into[i] = value;
        at = this.at;
      }
    }
    this.at = at;
    return at <= bytes.length;
  }

  /**
   * Reads a block's name into two places of an array, low half first: an integer, or the last eight of a digest's bytes, which
   * are the same number.
   */
  readName(into: Uint32Array, at: number): void {
    if (this.isBytes) {
      const length = this.#binLength();
      if (length < 8) throw new BadMsgpack('a name of less than eight bytes');
      this.#readHalves(this.#skipBytes(length) + length - 8, into, at);
      return;
    }
    const tag = this.bytes[this.at];
    if (tag === 0xcf || tag === 0xd3) {
      this.at += 1;
      this.#readHalves(this.#skipBytes(8), into, at);
      return;
    }
    if (tag === undefined || (tag > 0x7f && tag < 0xcc) || (tag > 0xd3 && tag < 0xe0))
      throw new BadMsgpack('not the name of a block');
    const value = this.readNumber();
    into[at] = value;
    into[at + 1] = value < 0 ? 0xffffffff : 0;
  }

  /** Eight bytes, the high half first. */
  #readHalves(from: number, into: Uint32Array, at: number): void {
    const { bytes } = this;
    into[at + 1] =
      (bytes[from]! << 24) | (bytes[from + 1]! << 16) | (bytes[from + 2]! << 8) | bytes[from + 3]!;
    into[at] =
      (bytes[from + 4]! << 24) | (bytes[from + 5]! << 16) | (bytes[from + 6]! << 8) | bytes[from + 7]!;
  }

  /** Passes over one value with whatever is in it. */
  skip(): void {
    const { bytes } = this;
    const end = bytes.length;
    let { at } = this;
    for (let left = 1; left > 0; left -= 1) {
      if (at >= end) throw new BadMsgpack('cut off');
      const tag = bytes[at]!;
      const size = SIZES[tag]!;
      if (size < CONTAINER) {
        if (size === 0) throw new BadMsgpack('not msgpack');
        at += size;
        continue;
      }
      this.at = at;
      left += this.#enter(tag);
      at = this.at;
    }
    if (at > end) throw new BadMsgpack('cut off');
    this.at = at;
  }

  /** Passes over the head of a value whose length stands in it, and over its bytes. @returns how many values are in it. */
  #enter(tag: number): number {
    if ((tag & 0xf0) === 0x90 || tag === 0xdc || tag === 0xdd) return this.readArray();
    if ((tag & 0xf0) === 0x80 || tag === 0xde || tag === 0xdf) return 2 * this.readMap();
    this.at += 1;
    if (tag >= 0xd9) this.#skipBytes(this.#unsigned(1 << (tag - 0xd9)));
    else if (tag >= 0xc7) this.#skipBytes(1 + this.#unsigned(1 << (tag - 0xc7)));
    else this.#skipBytes(this.#unsigned(1 << (tag - 0xc4)));
    return 0;
  }

  #textLength(): number {
    const tag = this.#tag();
    if ((tag & 0xe0) === 0xa0) return tag & 0x1f;
    if (tag >= 0xd9 && tag <= 0xdb) return this.#unsigned(1 << (tag - 0xd9));
    throw new BadMsgpack('not a text');
  }

  #binLength(): number {
    const tag = this.#tag();
    if (tag >= 0xc4 && tag <= 0xc6) return this.#unsigned(1 << (tag - 0xc4));
    throw new BadMsgpack('not bytes');
  }

  #tag(): number {
    const tag = this.bytes[this.at];
    if (tag === undefined) throw new BadMsgpack('cut off');
    this.at += 1;
    return tag;
  }

  #unsigned(size: number): number {
    const from = this.#skipBytes(size);
    let value = 0;
    for (let i = from; i < from + size; i += 1) value = value * 256 + this.bytes[i]!;
    return value;
  }

  #signed(size: number): number {
    const value = this.#unsigned(size);
    const limit = 2 ** (8 * size - 1);
    return value >= limit ? value - 2 * limit : value;
  }

  /** @returns where they began. */
  #skipBytes(count: number): number {
    const from = this.at;
    if (count > this.bytes.length - from) throw new BadMsgpack('cut off');
    this.at = from + count;
    return from;
  }

  /** Each value takes a byte at least. */
  #believable(values: number): number {
    if (values > this.bytes.length - this.at) throw new BadMsgpack('cut off');
    return values;
  }
}

/** A few known texts, found by their bytes. */
export class Words {
  /** By length, those of that length. */
  readonly #words: { readonly index: number; readonly bytes: Uint8Array }[][] = [];

  constructor(words: readonly string[]) {
    const longest = Math.max(...words.map((word) => Buffer.byteLength(word)));
    for (let length = 0; length <= longest; length += 1) this.#words.push([]);
    for (const [index, word] of words.entries()) {
      const bytes = Buffer.from(word);
      this.#words[bytes.length]!.push({ index, bytes });
    }
  }

  /** Which one these bytes are; -1 for none. */
  indexOf(bytes: Uint8Array, from: number, length: number): number {
    const words = this.#words[length];
    if (words) for (const word of words) if (isAt(bytes, from, word.bytes)) return word.index;
    return -1;
  }
}

function isAt(bytes: Uint8Array, from: number, word: Uint8Array): boolean {
  for (let i = 0; i < word.length; i += 1) if (bytes[from + i] !== word[i]) return false;
  return true;
}
