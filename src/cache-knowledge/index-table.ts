/* eslint max-lines: off -- one structure over typed arrays: the parts that could be split off would need all of its fields */
import type { PromptBlocks } from '../routing/blocks.ts';
import { MOST_ROWS, type CommonBlocks } from './common-blocks.ts';
import { ENTRY, ENTRY_BYTES, HEAD, MAX_ENTRIES, MOST_SLOTS, type TableMemory } from './table-memory.ts';
import { RowLimit } from './row-limit.ts';
import { TableReader } from './table-reader.ts';

const { WORDS, LOW, HIGH, SEAL, ROW, CHAIN, NEWER, OLDER, ROW_NEWER, ROW_OLDER, USED_AT } = ENTRY;
const { VERSION, ROWS_END } = HEAD;

/** Blocks to be inserted whose places are read in advance: those of many more would push each other out of the cache. */
const READ_AHEAD = 256;
/** Entries that are given up in one go; what is left goes as others come. */
const MOST_GIVEN_UP = 20_000;
/** A block becomes common with so many workers that hold it, and is no longer with so few. */
const MANY_HOLDERS = 6;
const FEW_HOLDERS = 2;

/** One worker's stay in a slot. When it leaves, the row is unlinked from the slot and its entries wait to be reused. */
interface Row {
  readonly number: number;
  slot: number;
  entries: number;
  newest: number;
  oldest: number;
  readonly limit: RowLimit;
  /** How many entries it may have by now. */
  most: number;
}

/** What is noted of one prompt beside its blocks. */
export interface Use {
  /** As `usedAt` gives it. */
  readonly usedAt: number;
  /** Tokens that the blocks stand for; 0 for a second chain of the same prompt. */
  readonly tokens: number;
  /** Tokens that the worker's cache has room for. */
  readonly capacity: number;
}

/**
 * A set of (block hash, worker) of a fixed size with least-recently-used eviction, as the one thread writes it that may; a
 * `TableReader` looks at it.
 *
 * A bucket holds all entries of a block, so that it shows who holds it, and for how many workers a prompt is new is no matter. Only
 * the entries of common blocks lie apart, each worker's in a bucket of its own: `CommonBlocks` knows who they are.
 *
 * Everything else lies in two typed arrays whose address space is reserved at once; pages become resident as they are
 * first used. There is no growth step, so no request ever pays for a rehash.
 */
export class IndexTable {
  readonly memory: TableMemory;
  readonly reader: TableReader;
  readonly #head: Int32Array;
  readonly #numberOfSlot: Int32Array;
  readonly #buckets: Int32Array;
  readonly #bucketMask: number;
  readonly #words: Int32Array;
  readonly #maxEntries: number;
  readonly #common: CommonBlocks;
  #maxPerWorker = 0;

  /** Numbered from 1; 0 is the row of those that have none. */
  readonly #rows: (Row | undefined)[] = [undefined];
  readonly #freeRows: Row[] = [];
  /** Rows whose worker left, with entries still to be reused. */
  readonly #leftRows: Row[] = [];
  readonly #rowOfSlot: (Row | undefined)[] = [];

  #newest = 0;
  #oldest = 0;
  #free = 0;
  /** Entries 1..used have been handed out at least once. */
  #used = 0;
  #entries = 0;

  /** @param memory Of zeros. */
  constructor(memory: TableMemory, maxBlocksPerWorker: number) {
    this.memory = memory;
    this.reader = new TableReader(memory, MAX_ENTRIES);
    this.#common = this.reader.common;
    this.#head = new Int32Array(memory.head);
    this.#numberOfSlot = new Int32Array(memory.rowOfSlot);
    this.#buckets = new Int32Array(memory.buckets);
    this.#bucketMask = this.#buckets.length - 1;
    this.#words = new Int32Array(memory.entries);
    this.#maxEntries = this.#words.length / WORDS - 1;
    this.#head[ROWS_END] = 1;
    this.limit(maxBlocksPerWorker);
  }

  limit(maxBlocksPerWorker: number): void {
    this.#maxPerWorker = Math.max(0, Math.min(this.#maxEntries, Math.floor(maxBlocksPerWorker)));
  }

  /** Entries of present workers. */
  get entries(): number {
    return this.#entries;
  }

  get bytes(): number {
    return this.#buckets.byteLength + ENTRY_BYTES * (this.#used + 1);
  }

  entriesOf(slot: number): number {
    return this.#rowOfSlot[slot]?.entries ?? 0;
  }

  record(
    blocks: Pick<PromptBlocks, 'hashes' | 'count'>,
    slot: number,
    { usedAt, tokens, capacity }: Use,
  ): void {
    const row = blocks.count === 0 ? undefined : (this.#rowOfSlot[slot] ?? this.#newRow(slot));
    if (row === undefined) return;
    row.limit.note(blocks.count, tokens);
    row.most = Math.min(this.#maxPerWorker, row.limit.most(capacity));
    const count = Math.min(blocks.count, row.most);
    this.#shrink(row, count);
    const { hashes } = blocks;
    const held = this.reader.heldBlocks(hashes, count, row.number);
    // Where a block is not held none behind it is, so nothing needs to be looked for.
    for (let i = count - 1; i >= held; i--) {
      if ((count - 1 - i) % READ_AHEAD === 0)
        this.#readAhead(hashes, Math.max(held, i + 1 - READ_AHEAD), i + 1, row);
      this.#use(this.#insert(hashes[2 * i]! | 0, hashes[2 * i + 1]! | 0, row), row, usedAt);
    }
    let next = 0;
    for (let i = held - 1; i >= 0; i--) {
      const low = hashes[2 * i]! | 0;
      const high = hashes[2 * i + 1]! | 0;
      let entry = this.#is(next, low, high, row.number) ? next : this.reader.find(low, high, row.number);
      if (entry === 0) {
        // Evicted just now, by what was inserted.
        entry = this.#insert(low, high, row);
        next = 0;
      } else {
        // The block before was used right after this one, if it was with this prompt that both were used last.
        next = this.#word(entry, ROW_NEWER);
        this.#unlink(entry, row);
      }
      this.#use(entry, row, usedAt);
    }
  }

  /**
   * The worker no longer had a block that was used at that time, when a prompt of so many blocks came that was thought to find it: what
   * was not used since is gone as well, and so much is what it keeps.
   */
  giveUp(slot: number, usedAt: number, blocks: number): void {
    const row = this.#rowOfSlot[slot];
    if (row === undefined) return;
    let kept = row.entries - blocks;
    let oldest = row.oldest;
    for (let left = MOST_GIVEN_UP; left > 0 && oldest !== 0; left--) {
      if (this.#word(oldest, USED_AT) > usedAt) break;
      kept -= 1;
      oldest = this.#word(oldest, ROW_NEWER);
    }
    if (!row.limit.forgets(kept)) return;
    row.most = Math.min(row.most, row.limit.learnt);
    this.#shrink(row, MOST_GIVEN_UP);
  }

  #shrink(row: Row, most: number): void {
    for (let left = most; left > 0 && row.entries > row.most; left--) this.#release(this.#drop(row.oldest));
  }

  /** The worker had more than was thought. */
  keepMore(slot: number): void {
    this.#rowOfSlot[slot]?.limit.keepsMore();
  }

  /** Nothing of the worker in the slot matches any more. Its memory is reused first. */
  forget(slot: number): void {
    const row = this.#rowOfSlot[slot];
    if (row === undefined) return;
    this.#rowOfSlot[slot] = undefined;
    this.#bind(slot, 0);
    this.#entries -= row.entries;
    row.slot = -1;
    (row.entries === 0 ? this.#freeRows : this.#leftRows).push(row);
  }

  /** Frees entries of workers that left, then those unused since (see `usedAt`). False: it has not come to the end. */
  sweep(budget: number, usedSince: number): boolean {
    let left = budget;
    for (; left > 0; left--) {
      const entry = this.#takeLeft();
      if (entry === 0) break;
      this.#release(entry);
    }
    for (; left > 0; left--) {
      if (this.#oldest === 0 || this.#word(this.#oldest, USED_AT) >= usedSince) return true;
      this.#release(this.#drop(this.#oldest));
    }
    return false;
  }

  /** The entry that was used last, and from one to the one that was used before it; 0: none. */
  get newest(): number {
    return this.#newest;
  }

  olderThan(entry: number): number {
    return this.#word(entry, OLDER);
  }

  hasRoom(): boolean {
    return this.#free !== 0 || this.#leftRows.length > 0 || this.#used < this.#maxEntries;
  }

  /**
   * Takes over an entry of another table. Those that requests have added meanwhile are newer, so it becomes the oldest. A worker
   * that has left, or whose row is full, gets nothing more.
   */
  take(from: IndexTable, entry: number): void {
    const { slot } = from.#rowAt(from.#word(entry, ROW));
    if (slot >= 0 && !this.#takeFor(from, entry, slot)) from.forget(slot);
  }

  /** False: no room for it. */
  #takeFor(from: IndexTable, entry: number, slot: number): boolean {
    const row = this.#rowOfSlot[slot] ?? this.#newRow(slot);
    if (row === undefined) return false;
    const low = from.#word(entry, LOW);
    const high = from.#highOf(entry);
    if (this.reader.find(low, high, row.number) !== 0) return true;
    if (row.entries >= this.#maxPerWorker) return false;
    const moved = this.#write(low, high, row);
    this.#linkOldest(moved, row);
    this.#words[moved * WORDS + USED_AT] = from.#word(entry, USED_AT);
    return true;
  }

  /** Whether this entry, or none for 0, is the one that `find` would come to. */
  #is(entry: number, low: number, high: number, row: number): boolean {
    const words = this.#words;
    const at = entry * WORDS;
    return (
      entry !== 0 &&
      words[at] === low &&
      words[at + HIGH] === (high ^ Math.imul(row, SEAL)) &&
      words[at + ROW] === row
    );
  }

  /**
   * Reads what inserting these blocks will look at, and dropping as many old ones. It lies anywhere in memory: read in a
   * row, one does not wait for the other, and is near when it is needed. A third less time for prompts that are new.
   */
  #readAhead(hashes: Uint32Array, from: number, to: number, row: Row): void {
    const words = this.#words;
    const buckets = this.#buckets;
    const mask = this.#bucketMask;
    let read = 0;
    for (let i = from; i < to; i++) read ^= words[buckets[hashes[2 * i]! & mask]! * WORDS + CHAIN]!;
    const isRowFull = row.entries + to - from > row.most;
    const towardsNewer = isRowFull ? ROW_NEWER : NEWER;
    let entry = isRowFull ? row.oldest : this.hasRoom() ? 0 : this.#oldest;
    for (let i = from; i < to && entry !== 0; i++) {
      const at = entry * WORDS;
      read ^= words[buckets[words[at]! & mask]! * WORDS + CHAIN]!;
      entry = words[at + towardsNewer]!;
    }
    // Entry 0 is none, and nobody reads it: but what is not kept is not read either.
    words[USED_AT] = read;
  }

  #use(entry: number, row: Row, usedAt: number): void {
    this.#linkNewest(entry, row);
    this.#words[entry * WORDS + USED_AT] = usedAt;
  }

  #insert(low: number, high: number, row: Row): number {
    // Two at a time shrink a row that is above a limit that was lowered.
    for (let drop = 0; drop < 2 && row.entries >= row.most; drop++) this.#release(this.#drop(row.oldest));
    return this.#write(low, high, row);
  }

  #write(low: number, high: number, row: Row): number {
    const entry = this.#allocate();
    const at = entry * WORDS;
    this.#words[at + LOW] = low;
    this.#words[at + HIGH] = high ^ Math.imul(row.number, SEAL);
    this.#words[at + ROW] = row.number;
    this.#chain(entry, this.reader.bucketOf(low, high, row.number));
    row.entries++;
    this.#entries++;
    const place = this.#common.find(low, high);
    if (place >= 0) this.#common.add(place, row.number);
    else if (this.#words[at + CHAIN] !== 0) this.#gather(low, high);
    return entry;
  }

  /** Makes a block common if enough rows hold it: its entries leave the bucket that they share. */
  #gather(low: number, high: number): void {
    const bucket = low & this.#bucketMask;
    if (this.reader.holdersIn(bucket, low, high) < MANY_HOLDERS) return;
    const place = this.#common.claim(low, high);
    if (place < 0) return;
    let next = this.#buckets[bucket]!;
    while (next !== 0) {
      const entry = next;
      next = this.#word(entry, CHAIN);
      if (this.#word(entry, LOW) !== low || this.#highOf(entry) !== high) continue;
      const row = this.#word(entry, ROW);
      this.#unchain(entry, bucket);
      this.#common.add(place, row);
      this.#chain(entry, this.reader.bucketOf(low, high, row));
    }
  }

  /** A row no longer holds a common block. Where few are left, they share a bucket again. */
  #lose(place: number, low: number, high: number, row: number): void {
    this.#common.remove(place, row);
    if (this.#common.rowsAt(place) > FEW_HOLDERS) return;
    const left = this.#common.rowsOf(place).map((one) => this.reader.find(low, high, one));
    for (const entry of left) this.#unchain(entry, this.reader.bucketOf(low, high, this.#word(entry, ROW)));
    for (const entry of left) {
      this.#common.remove(place, this.#word(entry, ROW));
      this.#chain(entry, low & this.#bucketMask);
    }
  }

  #chain(entry: number, bucket: number): void {
    this.#words[entry * WORDS + CHAIN] = this.#buckets[bucket]!;
    this.#buckets[bucket] = entry;
  }

  /** An entry to write to: freed, left behind, never used, and only then the least recently used one. */
  #allocate(): number {
    if (this.#free !== 0) {
      const entry = this.#free;
      this.#free = this.#word(entry, CHAIN);
      return entry;
    }
    const left = this.#takeLeft();
    if (left !== 0) return left;
    if (this.#used < this.#maxEntries) return ++this.#used;
    return this.#drop(this.#oldest);
  }

  #takeLeft(): number {
    const row = this.#leftRows.at(-1);
    return row === undefined ? 0 : this.#drop(row.oldest);
  }

  #release(entry: number): void {
    this.#words[entry * WORDS + CHAIN] = this.#free;
    this.#free = entry;
  }

  /** Takes an entry out of its bucket and both lists. */
  #drop(entry: number): number {
    const row = this.#rowAt(this.#word(entry, ROW));
    const low = this.#word(entry, LOW);
    const high = this.#highOf(entry);
    this.#unlink(entry, row);
    this.#unchain(entry, this.reader.bucketOf(low, high, row.number));
    const place = this.#common.find(low, high);
    if (place >= 0) this.#lose(place, low, high, row.number);
    row.entries--;
    if (row.slot >= 0) {
      this.#entries--;
    } else if (row.entries === 0) {
      const at = this.#leftRows.lastIndexOf(row);
      if (at >= 0) this.#leftRows.splice(at, 1);
      this.#freeRows.push(row);
    }
    return entry;
  }

  #unchain(entry: number, bucket: number): void {
    const words = this.#words;
    const after = this.#word(entry, CHAIN);
    let before = this.#buckets[bucket]!;
    if (before === entry) {
      this.#buckets[bucket] = after;
      return;
    }
    while (this.#word(before, CHAIN) !== entry) before = this.#word(before, CHAIN);
    words[before * WORDS + CHAIN] = after;
  }

  #unlink(entry: number, row: Row): void {
    const words = this.#words;
    const newer = this.#word(entry, NEWER);
    const older = this.#word(entry, OLDER);
    if (newer === 0) this.#newest = older;
    else words[newer * WORDS + OLDER] = older;
    if (older === 0) this.#oldest = newer;
    else words[older * WORDS + NEWER] = newer;
    const rowNewer = this.#word(entry, ROW_NEWER);
    const rowOlder = this.#word(entry, ROW_OLDER);
    if (rowNewer === 0) row.newest = rowOlder;
    else words[rowNewer * WORDS + ROW_OLDER] = rowOlder;
    if (rowOlder === 0) row.oldest = rowNewer;
    else words[rowOlder * WORDS + ROW_NEWER] = rowNewer;
  }

  #linkNewest(entry: number, row: Row): void {
    const words = this.#words;
    const at = entry * WORDS;
    words[at + NEWER] = 0;
    words[at + OLDER] = this.#newest;
    if (this.#newest === 0) this.#oldest = entry;
    else words[this.#newest * WORDS + NEWER] = entry;
    this.#newest = entry;
    words[at + ROW_NEWER] = 0;
    words[at + ROW_OLDER] = row.newest;
    if (row.newest === 0) row.oldest = entry;
    else words[row.newest * WORDS + ROW_NEWER] = entry;
    row.newest = entry;
  }

  #linkOldest(entry: number, row: Row): void {
    const words = this.#words;
    const at = entry * WORDS;
    words[at + OLDER] = 0;
    words[at + NEWER] = this.#oldest;
    if (this.#oldest === 0) this.#newest = entry;
    else words[this.#oldest * WORDS + OLDER] = entry;
    this.#oldest = entry;
    words[at + ROW_OLDER] = 0;
    words[at + ROW_NEWER] = row.oldest;
    if (row.oldest === 0) row.newest = entry;
    else words[row.oldest * WORDS + ROW_OLDER] = entry;
    row.oldest = entry;
  }

  /** Undefined where there are no more rows, or the slot lies beyond those that there are. */
  #newRow(slot: number): Row | undefined {
    if (slot >= MOST_SLOTS) return undefined;
    const row = this.#freeRows.pop() ?? this.#oneMoreRow();
    if (row === undefined) return undefined;
    row.slot = slot;
    row.limit.clear();
    row.most = this.#maxPerWorker;
    while (this.#rowOfSlot.length <= slot) this.#rowOfSlot.push(undefined);
    this.#rowOfSlot[slot] = row;
    this.#bind(slot, row.number);
    return row;
  }

  #oneMoreRow(): Row | undefined {
    const number = this.#rows.length;
    if (number === MOST_ROWS) return undefined;
    const row = { number, slot: -1, entries: 0, newest: 0, oldest: 0, limit: new RowLimit(), most: 0 };
    this.#rows.push(row);
    this.#head[ROWS_END] = number + 1;
    return row;
  }

  #bind(slot: number, row: number): void {
    Atomics.store(this.#numberOfSlot, slot, row);
    Atomics.add(this.#head, VERSION, 1);
  }

  #rowAt(number: number): Row {
    const row = this.#rows[number];
    if (row === undefined) throw new Error(`predicted index: entry of unknown row ${String(number)}`);
    return row;
  }

  #highOf(entry: number): number {
    return this.#word(entry, HIGH) ^ Math.imul(this.#word(entry, ROW), SEAL);
  }

  #word(entry: number, field: number): number {
    return this.#words[entry * WORDS + field]!;
  }
}
