/**
 * A fake tokenizer: about four characters per token, no vocabulary file, and ids that say what they stand for, so that
 * any worker (and any later run) turns the same text into the same ids and back.
 *
 * An id is 31 bits: kind (3 bits) and payload (28 bits). Kinds 1 to 4 are that many ASCII characters, 7 bits each;
 * kind 5 is one other code point; kind 0 is a special token.
 */
const CODE_POINT_KIND = 5;

export const SPECIAL = {
  system: 1,
  user: 2,
  assistant: 3,
  tool: 4,
  other: 5,
  media: 6,
  end: 7,
  separator: 8,
} as const;

const ROLES: ReadonlyMap<string, number> = new Map([
  ['system', SPECIAL.system],
  ['developer', SPECIAL.system],
  ['user', SPECIAL.user],
  ['assistant', SPECIAL.assistant],
  ['tool', SPECIAL.tool],
]);

export function roleToken(role: string): number {
  return ROLES.get(role) ?? SPECIAL.other;
}

/** Token ids in the making. Reused from request to request: copy what must outlive the next `clear`. */
export class TokenBuffer {
  #ids = new Int32Array(1024);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** A view of the ids, valid until the next change. */
  get ids(): Int32Array {
    return this.#ids.subarray(0, this.#length);
  }

  clear(): void {
    this.#length = 0;
  }

  special(id: number): void {
    this.#reserve(1);
    this.#ids[this.#length++] = id;
  }

  append(ids: ArrayLike<number>): void {
    this.#reserve(ids.length);
    this.#ids.set(ids, this.#length);
    this.#length += ids.length;
  }

  /** Tokens never span two calls, just as a real tokenizer never merges across a special token. */
  text(text: string): void {
    this.#reserve(text.length);
    const ids = this.#ids;
    let length = this.#length;
    let packed = 0;
    let count = 0;
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i);
      if (unit < 128) {
        packed |= unit << (7 * count++);
        if (count < 4) continue;
      }
      if (count > 0) {
        ids[length++] = (count << 28) | packed;
        packed = 0;
        count = 0;
      }
      if (unit < 128) continue;
      const codePoint = text.codePointAt(i) ?? unit;
      if (codePoint > 0xffff) i++;
      ids[length++] = (CODE_POINT_KIND << 28) | codePoint;
    }
    if (count > 0) ids[length++] = (count << 28) | packed;
    this.#length = length;
  }

  #reserve(extra: number): void {
    const needed = this.#length + extra;
    if (needed <= this.#ids.length) return;
    const grown = new Int32Array(Math.max(needed, this.#ids.length * 2));
    grown.set(this.#ids.subarray(0, this.#length));
    this.#ids = grown;
  }
}

/** The text of one token; special tokens and ids that no text leads to have none. */
export function tokenText(id: number): string {
  const kind = (id >>> 28) & 7;
  if (kind === CODE_POINT_KIND) {
    const codePoint = id & 0xfffffff;
    return codePoint <= 0x10ffff ? String.fromCodePoint(codePoint) : '';
  }
  if (kind === 0 || kind > CODE_POINT_KIND) return '';
  let text = '';
  for (let i = 0; i < kind; i++) text += String.fromCharCode((id >>> (7 * i)) & 127);
  return text;
}

export function detokenize(ids: ArrayLike<number>): string {
  let text = '';
  for (let i = 0; i < ids.length; i++) text += tokenText(ids[i] ?? 0);
  return text;
}

export function tokenize(text: string): number[] {
  const buffer = new TokenBuffer();
  buffer.text(text);
  return Array.from(buffer.ids);
}

/** 32-bit hash of a text, for salts and seeds. */
export function textHash(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return scramble(hash);
}

/** A bijection of 32-bit words in which every input bit moves about half of the output bits. */
export function scramble(word: number): number {
  let z = word | 0;
  z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
  z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
  return (z ^ (z >>> 16)) >>> 0;
}

/**
 * Chained 64-bit hashes of the full blocks of a token sequence, two words per block: block i's hash covers blocks 0..i,
 * so equal hashes mean equal prefixes. `salt` sets worlds apart (adapter, `cache_salt`), as vLLM's extra keys do.
 */
export function blockHashes(ids: ArrayLike<number>, blockSize: number, salt: number): Uint32Array {
  const blocks = Math.floor(ids.length / blockSize);
  const hashes = new Uint32Array(blocks * 2);
  let low = scramble(salt ^ 0x9e3779b9);
  let high = scramble(salt + 0x7f4a7c15);
  let at = 0;
  for (let block = 0; block < blocks; block++) {
    for (let i = 0; i < blockSize; i++) {
      const id = ids[at++] ?? 0;
      low = Math.imul(low ^ id, 0x2c1b3c6d);
      low ^= low >>> 15;
      high = Math.imul(high + id, 0x297a2d39);
      high ^= high >>> 13;
    }
    low = scramble(low);
    high = scramble(high ^ low);
    hashes[2 * block] = low;
    hashes[2 * block + 1] = high;
  }
  return hashes;
}
