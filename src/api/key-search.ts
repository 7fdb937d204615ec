const QUOTE = 0x22;
const OPEN_BRACE = 0x7b;
const COMMA = 0x2c;
const SPACE = 0x20;
const NEEDLE_BYTES = 3;

/** A key to search for. */
export interface SearchKey {
  /** With its closing quote. */
  readonly key: Buffer;
  /** The end of that, which is searched for: the shorter, and the rarer what it begins with, the sooner it is done. */
  readonly needle: Buffer;
}

export function searchKey(name: string): SearchKey {
  const key = Buffer.from(`${name}"`);
  return { key, needle: key.subarray(-NEEDLE_BYTES) };
}

/**
 * Finds a key of any object in JSON that passes by in chunks, at the speed of a search for bytes. In a string its quotes
 * would be escaped; a string that is spelt like the key is no key, because no colon follows it: that is for the caller.
 */
export class KeySearch {
  readonly #key: Buffer;
  readonly #needle: Buffer;
  /** The last bytes before the chunk, in which a key may have begun. */
  #before: Buffer | undefined;
  #beforeBytes = 0;

  constructor({ key, needle }: SearchKey) {
    this.#key = key;
    this.#needle = needle;
  }

  /** Index behind the closing quote of the next key that ends at or behind `from`; -1 where there is none. */
  next(chunk: Buffer, from: number): number {
    const needle = this.#needle;
    // What ends in the first bytes of the chunk, and so may have begun before it.
    if (from === 0 && this.#beforeBytes > 0) {
      for (let end = 1; end < needle.length && end <= chunk.length; end += 1)
        if (this.#endsAt(chunk, end)) return end;
    }
    for (let at = chunk.indexOf(needle, from); at >= 0; at = chunk.indexOf(needle, at + 1)) {
      const end = at + needle.length;
      if (this.#endsAt(chunk, end)) return end;
    }
    return -1;
  }

  /** Keeps the end of a chunk that has been searched. */
  keep(chunk: Buffer): void {
    // And the opening quote, and what stands before it.
    const before = (this.#before ??= Buffer.allocUnsafe(this.#key.length + 1));
    if (chunk.length >= before.length) {
      this.#beforeBytes = chunk.copy(before, 0, chunk.length - before.length);
      return;
    }
    const stay = Math.min(this.#beforeBytes, before.length - chunk.length);
    before.copyWithin(0, this.#beforeBytes - stay, this.#beforeBytes);
    this.#beforeBytes = stay + chunk.copy(before, stay);
  }

  /** The next chunk begins something new. */
  forget(): void {
    this.#beforeBytes = 0;
  }

  #endsAt(chunk: Buffer, end: number): boolean {
    const key = this.#key;
    const start = end - key.length;
    if (start < 2) return this.#endsAcross(chunk, start);
    if (chunk[start - 1] !== QUOTE || !beginsKey(chunk[start - 2])) return false;
    for (let i = 0; i < key.length; i += 1) if (chunk[start + i] !== key[i]) return false;
    return true;
  }

  /** The same where a part of it is in the bytes before. */
  #endsAcross(chunk: Buffer, start: number): boolean {
    const key = this.#key;
    for (let i = 0; i < key.length; i += 1) if (this.#byte(chunk, start + i) !== key[i]) return false;
    return this.#byte(chunk, start - 1) === QUOTE && beginsKey(this.#byte(chunk, start - 2));
  }

  /** Byte of the chunk; negative indexes are of the bytes before it. */
  #byte(chunk: Buffer, index: number): number | undefined {
    return index >= 0 ? chunk[index] : this.#before?.[this.#beforeBytes + index];
  }
}

/** What stands before the opening quote of a key: never a backslash, as it would in a string. */
function beginsKey(byte: number | undefined): boolean {
  return byte === OPEN_BRACE || byte === COMMA || (byte !== undefined && byte <= SPACE);
}
