const FIRST_SLOTS = 1024;
const EMPTY = -1;

/**
 * A set of block hashes, 53 of their 64 bits each. Open addressing in one flat array: of the millions of blocks of a
 * trace, a `Set` would box every one.
 */
export class BlockSet {
  #slots = new Float64Array(FIRST_SLOTS).fill(EMPTY);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Adds block `index` of a prompt's `hashes`. */
  add(hashes: Uint32Array, index: number): void {
    const low = hashes[2 * index] ?? 0;
    const key = low * 2 ** 21 + ((hashes[2 * index + 1] ?? 0) >>> 11);
    if (!this.#put(key)) return;
    this.#size += 1;
    if (4 * this.#size > 3 * this.#slots.length) this.#grow();
  }

  /** False when it was there. */
  #put(key: number): boolean {
    const mask = this.#slots.length - 1;
    // The upper 32 bits of the key: hashes, so they spread by themselves.
    let slot = Math.floor(key / 2 ** 21) & mask;
    for (let found = this.#slots[slot]; found !== EMPTY; found = this.#slots[slot]) {
      if (found === key) return false;
      slot = (slot + 1) & mask;
    }
    this.#slots[slot] = key;
    return true;
  }

  #grow(): void {
    const before = this.#slots;
    this.#slots = new Float64Array(2 * before.length).fill(EMPTY);
    for (const key of before) if (key !== EMPTY) this.#put(key);
  }
}
