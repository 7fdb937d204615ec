import { fmix32 } from '../../base/hash.ts';
import type { ChainLink } from '../../routing/token-chain.ts';
import { ENTRY, ENTRY_BYTES, HEAD, META, type ExactMemory } from './exact-memory.ts';

const { WORDS, LOW, HIGH, SEAL, CHAIN, NAME_LOW, NAME_HIGH, NAME_CHAIN, PARENT } = ENTRY;
const META_WORD = ENTRY.META;
const { ROW_MASK, TIERS } = META;
const NAMELESS = -1;

/** Where a block or a name lies. */
export function bucketOf(low: number, high: number, rowSeed: number): number {
  return fmix32((fmix32(low ^ rowSeed) + high) | 0);
}

export function rowSeed(seed: number, row: number): number {
  return Math.imul(row, SEAL) ^ seed;
}

/**
 * The entries of all rows, each in two buckets: of its block, where readers find it, and of the engine's name for it, where events do.
 * The thread that writes has it to itself.
 */
export class EntryTable {
  readonly words: Int32Array;
  readonly buckets: Int32Array;
  readonly nameBuckets: Int32Array;
  readonly mask: number;
  readonly seed: number;
  readonly capacity: number;
  #free = 0;
  /** Entries 1..used have been handed out at least once. */
  #used = 0;
  #taken = 0;

  constructor(memory: ExactMemory) {
    this.words = new Int32Array(memory.entries);
    this.buckets = new Int32Array(memory.buckets);
    this.nameBuckets = new Int32Array(memory.nameBuckets);
    this.mask = this.buckets.length - 1;
    this.seed = new Int32Array(memory.head)[HEAD.SEED]!;
    this.capacity = this.words.length / WORDS - 1;
  }

  get used(): number {
    return this.#used;
  }

  /** Entries that somebody has. */
  get taken(): number {
    return this.#taken;
  }

  /** Memory in use, bytes. */
  get bytes(): number {
    return 2 * this.buckets.byteLength + ENTRY_BYTES * (this.#used + 1);
  }

  /** A row's entry of this name; 0 where it has none. */
  find(row: number, low: number, high: number): number {
    const words = this.words;
    let entry = this.nameBuckets[bucketOf(low, high, rowSeed(this.seed, row)) & this.mask]!;
    while (entry !== 0) {
      const at = entry * WORDS;
      if (
        words[at + NAME_LOW] === low &&
        words[at + NAME_HIGH] === high &&
        (words[at + META_WORD]! & ROW_MASK) === row
      )
        return entry;
      entry = words[at + NAME_CHAIN]!;
    }
    return 0;
  }

  /**
   * Reads what looking for these names will look at, and what taking their entries out of the buckets of their blocks. It lies anywhere
   * in memory: read in a row, one does not wait for the other, and is near when it is needed.
   */
  readAheadNames(row: number, names: Uint32Array, first: number, end: number): void {
    const { words, buckets, nameBuckets, mask } = this;
    const seed = rowSeed(this.seed, row);
    let read = 0;
    for (let at = first; at < end; at++) {
      const found = WORDS * nameBuckets[bucketOf(names[2 * at]!, names[2 * at + 1]!, seed) & mask]!;
      const high = words[found + HIGH]! ^ Math.imul(row, SEAL);
      read ^= buckets[bucketOf(words[found + LOW]!, high, seed) & mask]!;
    }
    // Entry 0 is none, and nobody reads it: but what is not kept is not read either.
    words[PARENT] = read;
  }

  /** The same of blocks that are to be put there. */
  readAheadBlocks(row: number, hashes: Uint32Array, count: number): void {
    const { words, buckets, mask } = this;
    const seed = rowSeed(this.seed, row);
    let read = 0;
    for (let at = 0; at < count; at++)
      read ^= buckets[bucketOf(hashes[2 * at]!, hashes[2 * at + 1]!, seed) & mask]!;
    words[PARENT] = read;
  }

  /** An entry that nobody has; 0 where there is none. */
  take(): number {
    const entry = this.#free;
    if (entry !== 0) {
      this.#free = this.words[entry * WORDS + CHAIN]!;
      this.#taken++;
      return entry;
    }
    if (this.#used === this.capacity) return 0;
    this.#taken++;
    return ++this.#used;
  }

  /** Writes an entry that was taken, for a row and tiers. Readers come to it when it is whole. */
  write(entry: number, meta: number, low: number, high: number, nameLow: number, nameHigh: number): void {
    const words = this.words;
    const at = entry * WORDS;
    const row = meta & ROW_MASK;
    const seed = rowSeed(this.seed, row);
    words[at + LOW] = low;
    words[at + HIGH] = high ^ Math.imul(row, SEAL);
    words[at + META_WORD] = meta;
    words[at + NAME_LOW] = nameLow;
    words[at + NAME_HIGH] = nameHigh;
    const nameBucket = bucketOf(nameLow, nameHigh, seed) & this.mask;
    words[at + NAME_CHAIN] = this.nameBuckets[nameBucket]!;
    this.nameBuckets[nameBucket] = entry;
    const bucket = bucketOf(low, high, seed) & this.mask;
    words[at + CHAIN] = this.buckets[bucket]!;
    this.buckets[bucket] = entry;
  }

  /** Nobody has it any more. */
  release(entry: number): void {
    const words = this.words;
    const at = entry * WORDS;
    if (words[at + NAME_CHAIN] !== NAMELESS) this.unname(entry);
    const row = words[at + META_WORD]! & ROW_MASK;
    const high = words[at + HIGH]! ^ Math.imul(row, SEAL);
    const bucket = bucketOf(words[at + LOW]!, high, rowSeed(this.seed, row)) & this.mask;
    unlink(words, CHAIN, this.buckets, bucket, entry);
    words[at + META_WORD] = 0;
    words[at + CHAIN] = this.#free;
    this.#free = entry;
    this.#taken--;
  }

  /** The engine calls another block by its name. */
  unname(entry: number): void {
    const words = this.words;
    const at = entry * WORDS;
    const seed = rowSeed(this.seed, words[at + META_WORD]! & ROW_MASK);
    const bucket = bucketOf(words[at + NAME_LOW]!, words[at + NAME_HIGH]!, seed) & this.mask;
    unlink(words, NAME_CHAIN, this.nameBuckets, bucket, entry);
    words[at + NAME_CHAIN] = NAMELESS;
  }

  isBlock(entry: number, low: number, high: number): boolean {
    const words = this.words;
    const at = entry * WORDS;
    return words[at + LOW] === low && (words[at + HIGH]! ^ Math.imul(this.row(entry), SEAL)) === high;
  }

  row(entry: number): number {
    return this.words[entry * WORDS + META_WORD]! & ROW_MASK;
  }

  tiers(entry: number): number {
    return this.words[entry * WORDS + META_WORD]! & TIERS;
  }

  setTiers(entry: number, tiers: number): void {
    const at = entry * WORDS + META_WORD;
    this.words[at] = (this.words[at]! & ~TIERS) | tiers;
  }

  children(entry: number): number {
    return this.words[entry * WORDS + META_WORD]! >>> 16;
  }

  parent(entry: number): number {
    return this.words[entry * WORDS + PARENT]!;
  }

  setParent(entry: number, parent: number): void {
    this.words[entry * WORDS + PARENT] = parent;
  }

  /** The hash of its block. */
  link(entry: number): ChainLink {
    const at = entry * WORDS;
    return {
      low: this.words[at + LOW]!,
      high: this.words[at + HIGH]! ^ Math.imul(this.row(entry), SEAL),
    };
  }

  adopt(parent: number): void {
    if (parent !== 0 && this.children(parent) < META.MOST_CHILDREN)
      this.words[parent * WORDS + META_WORD]! += META.CHILD;
  }

  disown(parent: number): void {
    if (parent !== 0 && this.children(parent) < META.MOST_CHILDREN)
      this.words[parent * WORDS + META_WORD]! -= META.CHILD;
  }
}

function unlink(words: Int32Array, link: number, buckets: Int32Array, bucket: number, entry: number): void {
  const next = words[entry * WORDS + link]!;
  let before = buckets[bucket]!;
  if (before === entry) {
    buckets[bucket] = next;
    return;
  }
  for (;;) {
    const at = before * WORDS + link;
    before = words[at]!;
    if (before === entry) {
      words[at] = next;
      return;
    }
  }
}
