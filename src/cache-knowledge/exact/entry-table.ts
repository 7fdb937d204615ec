import { fmix32 } from '../../base/hash.ts';
import type { ChainLink } from '../../routing/token-chain.ts';
import { EntryLines, LINE_HEAD, lineAt, MOST_LINES } from './entry-lines.ts';
import { ENTRY, ENTRY_BYTES, HEAD, META, type ExactMemory } from './exact-memory.ts';
import { readEntriesAhead, readLinesAhead } from './read-ahead.ts';
import { TIERS } from './tiers.ts';

const { WORDS, LOW, HIGH, SEAL, NAME_LOW, NAME_HIGH, PARENT } = ENTRY;
const META_WORD = ENTRY.META;
const { ROW_MASK, CHILD_SHIFT, MOST_CHILDREN } = META;
const { COUNT, ELSEWHERE } = LINE_HEAD;

/** Blocks that are looked up together: those of many more would push each other out of the processor's cache. */
export const AT_ONCE = 256;

export function rowSeed(seed: number, row: number): number {
  return Math.imul(row, SEAL) ^ seed;
}

/** Of a block's hash or of a name: by what its entry is found. */
export function placeOf(low: number, high: number, seed: number): number {
  return fmix32((fmix32(low ^ seed) + high) | 0);
}

/**
 * The entries of all rows, each in two sets of lines: by its block, where readers find it, and by the engine's name for it, where events
 * do. The thread that writes has it to itself.
 */
export class EntryTable {
  readonly words: Int32Array;
  readonly capacity: number;
  readonly #seed: number;
  readonly #blocks: EntryLines;
  readonly #names: EntryLines;
  /** Of blocks that are looked up together, by their place in the event: where their names and hashes are, and whose they are. */
  readonly #namePlaces = new Int32Array(AT_ONCE);
  readonly #blockPlaces = new Int32Array(AT_ONCE);
  readonly #found = new Int32Array(AT_ONCE);
  #free = 0;
  /** Entries 1..used have been handed out at least once. */
  #used = 0;
  #taken = 0;

  constructor(memory: ExactMemory) {
    this.words = new Int32Array(memory.entries);
    this.capacity = this.words.length / WORDS - 1;
    this.#seed = new Int32Array(memory.head)[HEAD.SEED]!;
    this.#blocks = new EntryLines(memory.blocks, this.capacity);
    this.#names = new EntryLines(memory.names, this.capacity);
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
    return 2 * this.#blocks.words.byteLength + ENTRY_BYTES * (this.#used + 1);
  }

  /** A row's entry of this name; 0 where it has none. */
  find(row: number, low: number, high: number): number {
    return this.#findAt(placeOf(low, high, rowSeed(this.#seed, row)), row, low, high);
  }

  /**
   * Reads what storing these blocks will look at. It lies anywhere in memory: read in a row, one does not wait for the other, and is
   * near when it is needed.
   *
   * @param names Those of blocks `first` and on; `hashes` begins with that block.
   */
  prepareToStore(row: number, names: Uint32Array, hashes: Uint32Array, first: number, end: number): void {
    const seed = rowSeed(this.#seed, row);
    this.#placeNames(seed, names, first, end);
    const places = this.#blockPlaces;
    for (let at = 0; at < end - first; at++)
      places[at] = placeOf(hashes[2 * at]! | 0, hashes[2 * at + 1]! | 0, seed);
    this.#keepRead(readLinesAhead(this.#names.words, this.#names.shape, this.#namePlaces, end - first));
    this.#keepRead(readLinesAhead(this.#blocks.words, this.#blocks.shape, places, end - first));
  }

  /** `find` for the prepared block that is number `at` of those. */
  findPrepared(at: number, row: number, low: number, high: number): number {
    return this.#findAt(this.#namePlaces[at]!, row, low, high);
  }

  /** Looks up names that are to be removed, with what taking their entries away will look at. */
  prepareToRemove(row: number, names: Uint32Array, first: number, end: number): void {
    const { words } = this;
    const count = end - first;
    const seed = rowSeed(this.#seed, row);
    this.#placeNames(seed, names, first, end);
    this.#keepRead(readLinesAhead(this.#names.words, this.#names.shape, this.#namePlaces, count));
    this.#keepRead(
      readEntriesAhead(this.#names.words, this.#names.shape, this.#namePlaces, count, words, this.#found),
    );
    for (let at = 0, block = first; at < count; at++, block++) {
      const entry = this.#seenAs(at, row, names[2 * block]! | 0, names[2 * block + 1]! | 0);
      const from = WORDS * entry;
      this.#found[at] = entry;
      this.#blockPlaces[at] = placeOf(words[from + LOW]!, words[from + HIGH]! ^ Math.imul(row, SEAL), seed);
    }
    this.#keepRead(readLinesAhead(this.#blocks.words, this.#blocks.shape, this.#blockPlaces, count));
  }

  /** The entry of a name whose line was read ahead. */
  #seenAs(at: number, row: number, low: number, high: number): number {
    const seeming = this.#found[at]!;
    if (seeming === 0 || (seeming > 0 && this.#isNamed(seeming, row, low, high))) return seeming;
    return this.#findAt(this.#namePlaces[at]!, row, low, high);
  }

  #placeNames(seed: number, names: Uint32Array, first: number, end: number): void {
    const places = this.#namePlaces;
    for (let block = first, at = 0; block < end; block++, at++)
      places[at] = placeOf(names[2 * block]! | 0, names[2 * block + 1]! | 0, seed);
  }

  /** What is not kept is not read either. Entry 0 is none, and nobody reads it. */
  #keepRead(read: number): void {
    this.words[PARENT] = read;
  }

  /** The entry that was looked up as number `at`; 0 where there was none, or it is no longer that of the name. */
  prepared(at: number, row: number, low: number, high: number): number {
    const entry = this.#found[at]!;
    return entry !== 0 && this.#isNamed(entry, row, low, high) ? entry : 0;
  }

  #findAt(place: number, row: number, low: number, high: number): number {
    const lines = this.#names.words;
    const { linesPerHash, tagShift, entryMask } = this.#names.shape;
    const tag = place << tagShift;
    for (let turn = 0; turn < MOST_LINES; turn++) {
      const line = lineAt(place, turn, linesPerHash);
      const head = lines[line]!;
      for (let at = line + (head & COUNT); at > line; at--) {
        const word = lines[at]!;
        if (((word ^ tag) & ~entryMask) !== 0) continue;
        const entry = word & entryMask;
        if (this.#isNamed(entry, row, low, high)) return entry;
      }
      if (turn === 0 && head < ELSEWHERE) return 0;
    }
    return 0;
  }

  #isNamed(entry: number, row: number, low: number, high: number): boolean {
    const { words } = this;
    const from = entry * WORDS;
    return (
      words[from + NAME_LOW] === low &&
      words[from + NAME_HIGH] === high &&
      (words[from + META_WORD]! & ROW_MASK) === row
    );
  }

  /** An entry that nobody has; 0 where there is none. */
  take(): number {
    const entry = this.#free;
    if (entry !== 0) {
      this.#free = this.words[entry * WORDS + PARENT]!;
      this.#taken++;
      return entry;
    }
    if (this.#used === this.capacity) return 0;
    this.#taken++;
    return ++this.#used;
  }

  /**
   * Writes an entry that was taken, for a row and tiers, and the block that was prepared as number `at`. Readers come to it when it is
   * whole.
   *
   * @returns whether there was a place for its name: else it is nobody's again.
   */
  write(
    entry: number,
    meta: number,
    low: number,
    high: number,
    nameLow: number,
    nameHigh: number,
    at: number,
  ): boolean {
    const words = this.words;
    const from = entry * WORDS;
    words[from + LOW] = low;
    words[from + HIGH] = high ^ Math.imul(meta & ROW_MASK, SEAL);
    words[from + META_WORD] = meta;
    words[from + NAME_LOW] = nameLow;
    words[from + NAME_HIGH] = nameHigh;
    if (!this.#names.add(this.#namePlaces[at]!, entry)) {
      this.#giveBack(entry);
      return false;
    }
    // Where there is no place for it, nobody finds it: a match that ends here would be too short.
    this.#blocks.add(this.#blockPlaces[at]!, entry);
    return true;
  }

  /** Nobody has it any more. */
  release(entry: number): void {
    const words = this.words;
    const at = entry * WORDS;
    const row = this.row(entry);
    this.unname(entry);
    const high = words[at + HIGH]! ^ Math.imul(row, SEAL);
    this.#blocks.remove(placeOf(words[at + LOW]!, high, rowSeed(this.#seed, row)), entry);
    this.#giveBack(entry);
  }

  /** The same of an entry that was looked up as number `at`. */
  releasePrepared(entry: number, at: number): void {
    this.#names.remove(this.#namePlaces[at]!, entry);
    this.#blocks.remove(this.#blockPlaces[at]!, entry);
    this.#giveBack(entry);
  }

  /** The engine calls another block by its name; also where it did so before. */
  unname(entry: number): void {
    const at = entry * WORDS;
    const seed = rowSeed(this.#seed, this.row(entry));
    this.#names.remove(placeOf(this.words[at + NAME_LOW]!, this.words[at + NAME_HIGH]!, seed), entry);
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
    return this.words[entry * WORDS + META_WORD]! >>> CHILD_SHIFT;
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
    if (parent !== 0 && this.children(parent) < MOST_CHILDREN)
      this.words[parent * WORDS + META_WORD]! += 1 << CHILD_SHIFT;
  }

  disown(parent: number): void {
    if (parent !== 0 && this.children(parent) < MOST_CHILDREN)
      this.words[parent * WORDS + META_WORD]! -= 1 << CHILD_SHIFT;
  }

  #giveBack(entry: number): void {
    const at = entry * WORDS;
    this.words[at + META_WORD] = 0;
    this.words[at + PARENT] = this.#free;
    this.#free = entry;
    this.#taken--;
  }
}
