/** What was sent is not msgpack, or not of the type that belongs there. */
export class BadMsgpack extends Error {
  override readonly name = 'BadMsgpack';
}

const NIL = 0xc0;

/**
 * Walks through msgpack and reads of it what is asked for, straight into typed arrays: a library makes an object of every
 * value first, and a BigInt of every name. Nothing recurses, and no length is believed that the bytes cannot hold.
 */
export class MsgpackCursor {
  readonly bytes: Uint8Array;
  at = 0;
  readonly #text: Buffer;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.#text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
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
    return this.#text.toString('utf8', from, from + length);
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
    return this.#text.subarray(from, from + length);
  }

  /** An integer or a float. Beyond 2^53 it is not exact. */
  readNumber(): number {
    const tag = this.#tag();
    if (tag <= 0x7f) return tag;
    if (tag >= 0xe0) return tag - 0x100;
    if (tag >= 0xcc && tag <= 0xcf) return this.#unsigned(1 << (tag - 0xcc));
    if (tag >= 0xd0 && tag <= 0xd3) return this.#signed(1 << (tag - 0xd0));
    if (tag === 0xca) return this.#text.readFloatBE(this.#skipBytes(4));
    if (tag === 0xcb) return this.#text.readDoubleBE(this.#skipBytes(8));
    throw new BadMsgpack('not a number');
  }

  /** Reads so many integers of 32 bits into an array. @returns false where one of them is none, and stands there then. */
  readUint32s(into: Uint32Array): boolean {
    const { bytes } = this;
    let { at } = this;
    for (let i = 0; i < into.length; i += 1) {
      const tag = bytes[at]!;
      if (tag <= 0x7f) {
        into[i] = tag;
        at += 1;
      } else if (tag === 0xcd && at + 2 < bytes.length) {
        into[i] = (bytes[at + 1]! << 8) | bytes[at + 2]!;
        at += 3;
      } else {
        this.at = at;
        const value = tag >= 0xcc && tag <= 0xd3 ? this.readNumber() : -1;
        if (value < 0 || value > 0xffffffff) return false;
        into[i] = value;
        at = this.at;
      }
    }
    this.at = at;
    return true;
  }

  /**
   * Reads a block's name into two places of an array, low half first: an integer, or the last eight of a digest's bytes, which
   * are the same number.
   */
  readName(into: Uint32Array, at: number): void {
    if (this.isBytes) {
      const length = this.#binLength();
      if (length < 8) throw new BadMsgpack('a name of less than eight bytes');
      const end = this.#skipBytes(length) + length;
      into[at] = this.#text.readUInt32BE(end - 4);
      into[at + 1] = this.#text.readUInt32BE(end - 8);
      return;
    }
    const tag = this.bytes[this.at];
    if (tag === 0xcf || tag === 0xd3) {
      this.at += 1;
      const from = this.#skipBytes(8);
      into[at + 1] = this.#text.readUInt32BE(from);
      into[at] = this.#text.readUInt32BE(from + 4);
      return;
    }
    if (tag === undefined || (tag > 0x7f && tag < 0xcc) || (tag > 0xd3 && tag < 0xe0))
      throw new BadMsgpack('not the name of a block');
    const value = this.readNumber();
    into[at] = value;
    into[at + 1] = value < 0 ? 0xffffffff : 0;
  }

  /** Passes over one value with whatever is in it. */
  skip(): void {
    for (let left = 1; left > 0; left -= 1) {
      const tag = this.#tag();
      if (tag <= 0x7f || tag >= 0xe0 || (tag >= 0xc0 && tag <= 0xc3 && tag !== 0xc1)) continue;
      if (tag >= 0xcc && tag <= 0xd3) this.#skipBytes(1 << (tag & 3));
      else if (tag <= 0x8f) left += 2 * (tag & 0x0f);
      else if (tag <= 0x9f) left += tag & 0x0f;
      else if (tag <= 0xbf) this.#skipBytes(tag & 0x1f);
      else if (tag >= 0xc4 && tag <= 0xc6) this.#skipBytes(this.#unsigned(1 << (tag - 0xc4)));
      else if (tag >= 0xc7 && tag <= 0xc9) this.#skipBytes(1 + this.#unsigned(1 << (tag - 0xc7)));
      else if (tag === 0xca || tag === 0xcb) this.#skipBytes(tag === 0xca ? 4 : 8);
      else if (tag >= 0xd4 && tag <= 0xd8) this.#skipBytes(1 + (1 << (tag - 0xd4)));
      else if (tag >= 0xd9 && tag <= 0xdb) this.#skipBytes(this.#unsigned(1 << (tag - 0xd9)));
      else if (tag === 0xdc || tag === 0xdd) left += this.#believable(this.#unsigned(tag === 0xdc ? 2 : 4));
      else if (tag === 0xde || tag === 0xdf)
        left += this.#believable(2 * this.#unsigned(tag === 0xde ? 2 : 4));
      else throw new BadMsgpack('not msgpack');
    }
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
  readonly #byLength = new Map<number, { readonly index: number; readonly bytes: Uint8Array }[]>();

  constructor(words: readonly string[]) {
    for (const [index, word] of words.entries()) {
      const bytes = Buffer.from(word);
      const same = this.#byLength.get(bytes.length);
      if (same) same.push({ index, bytes });
      else this.#byLength.set(bytes.length, [{ index, bytes }]);
    }
  }

  /** Which one these bytes are; -1 for none. */
  indexOf(bytes: Uint8Array, from: number, length: number): number {
    const candidates = this.#byLength.get(length);
    if (candidates)
      for (const { index, bytes: word } of candidates) if (isAt(bytes, from, word)) return index;
    return -1;
  }
}

function isAt(bytes: Uint8Array, from: number, word: Uint8Array): boolean {
  for (let i = 0; i < word.length; i += 1) if (bytes[from + i] !== word[i]) return false;
  return true;
}
