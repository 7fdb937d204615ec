/* eslint max-lines: off -- one structure over typed arrays: the parts that could be split off would need all of its fields */
import type { Clock } from '../base/clock.ts';
import type { PromptBlocks } from '../routing/blocks.ts';
import type { CacheMatch, CacheView, MatchColumns } from '../routing/policy.ts';
import { CommonBlocks } from './common-blocks.ts';

/** Knows nothing about any cache. */
export const noCache: CacheView = { match: () => UNKNOWN };

const UNKNOWN: CacheMatch = { tokens: 0, source: 'none' };
const NOT_HELD: CacheMatch = { tokens: 0, source: 'predicted' };

/** Layout of one entry in 32-bit words. Entries are numbered from 1; 0 means none. */
const WORDS = 9;
const LOW = 0;
const HIGH = 1;
const ROW = 2;
/** Next entry of the same bucket; of a free entry, the next free one. */
const CHAIN = 3;
/** Neighbours by last use, over all workers: towards the newer, towards the older. */
const NEWER = 4;
const OLDER = 5;
/** The same among one worker's entries. */
const ROW_NEWER = 6;
const ROW_OLDER = 7;
/** Seconds of the clock at last use. */
const USED_AT = 8;

const ENTRY_BYTES = 4 * WORDS;
const MAX_ENTRIES = Math.floor((2 ** 31 - 1) / WORDS) - 1;
const SWEEP_LIMIT = 20_000;
/** Blocks to be inserted whose places are read in advance: those of many more would push each other out of the cache. */
const READ_AHEAD = 256;
/** A block becomes common with so many workers that hold it, and is no longer with so few. */
const MANY_HOLDERS = 6;
const FEW_HOLDERS = 2;
/** One place for a common block in so many bytes of the index. */
const BYTES_PER_COMMON = 2 ** 12;

function tokensOf({ totalTokens, tokensPerBlock }: PromptBlocks, held: number): number {
  return Math.min(totalTokens, Math.floor(held * tokensPerBlock));
}

/** One worker's stay in a slot. When it leaves, the row is unlinked from the slot and its entries wait to be reused. */
interface Row {
  readonly number: number;
  slot: number;
  entries: number;
  newest: number;
  oldest: number;
}

export interface PredictedIndexOptions {
  /**
   * Hard limit for table and entries together, bytes; at least 1,024. Who holds common blocks takes up to a fiftieth more,
   * with 500 workers.
   */
  readonly maxBytes: number;
  readonly maxBlocksPerWorker: number;
  readonly clock: Clock;
  /** `sweep` drops entries unused for longer; never when absent. */
  readonly idleMs?: number;
}

/**
 * What each worker's prefix cache is expected to hold, predicted from what was routed to it: a set of (block hash,
 * worker) with least-recently-used eviction, as vLLM evicts.
 *
 * The blocks of a prompt are touched tail first, so a block is always at least as recent as its extensions, and
 * eviction takes extensions first. Hence the blocks held for a worker are closed under prefixes, and the length of a
 * match is found with a few probes (O(log blocks)) instead of a walk.
 *
 * A bucket holds all entries of a block, so that it shows who holds it, and for how many workers a prompt is new is no matter. Only
 * the entries of common blocks lie apart, each worker's in a bucket of its own: `CommonBlocks` knows who they are.
 *
 * Everything else lies in two typed arrays whose address space is reserved at once; pages become resident as they are
 * first used. There is no growth step, so no request ever pays for a rehash.
 */
export class PredictedIndex implements CacheView {
  readonly #clock: Clock;
  #maxBytes: number;
  #idleMs: number;
  #maxEntries: number;
  #maxPerWorker: number;
  #buckets: Int32Array;
  #bucketMask: number;
  #words: Int32Array;
  #common: CommonBlocks;
  /** By row: the tokens of one prompt that are held. */
  #tokensByRow = new Float64Array(0);

  /** Numbered from 1; 0 is the row of those that have none. */
  #rows: (Row | undefined)[] = [undefined];
  #freeRows: Row[] = [];
  /** Rows whose worker left, with entries still to be reused. */
  #leftRows: Row[] = [];
  #rowOfSlot: (Row | undefined)[] = [];
  /** The number of that row: to be read for hundreds of slots. */
  #numberOfSlot = new Int32Array(0);

  #newest = 0;
  #oldest = 0;
  #free = 0;
  /** Entries 1..used have been handed out at least once. */
  #used = 0;
  #entries = 0;
  /** After a change of `maxBytes`: what was known before, and the newest entry that has not been moved yet. */
  #former: { readonly index: PredictedIndex; next: number } | undefined;

  constructor({ maxBytes, maxBlocksPerWorker, clock, idleMs = Infinity }: PredictedIndexOptions) {
    if (!(maxBytes >= 1024)) throw new RangeError(`maxBytes must be at least 1024, not ${String(maxBytes)}`);
    const buckets = 2 ** Math.round(Math.log2(Math.min(maxBytes / (ENTRY_BYTES + 4), MAX_ENTRIES)));
    this.#maxEntries = Math.min(MAX_ENTRIES, Math.floor((maxBytes - 4 * buckets) / ENTRY_BYTES) - 1);
    this.#maxBytes = maxBytes;
    this.#maxPerWorker = Math.max(0, Math.min(this.#maxEntries, Math.floor(maxBlocksPerWorker)));
    this.#buckets = new Int32Array(buckets);
    this.#bucketMask = buckets - 1;
    this.#words = new Int32Array(WORDS * (this.#maxEntries + 1));
    this.#common = new CommonBlocks(2 ** Math.max(2, Math.floor(Math.log2(maxBytes / BYTES_PER_COMMON))));
    this.#clock = clock;
    this.#idleMs = idleMs;
  }

  /**
   * Other bounds, with what is known kept as far as it fits. Another `maxBytes` needs a table of another size: `sweep`
   * moves the entries there in pieces, newest first; until it is done matches look at both, and both take memory. What
   * an earlier change has not moved yet is forgotten.
   */
  reconfigure(bounds: Omit<PredictedIndexOptions, 'clock'>): void {
    const { maxBytes, maxBlocksPerWorker, idleMs = Infinity } = bounds;
    this.#idleMs = idleMs;
    if (maxBytes !== this.#maxBytes) {
      const index = new PredictedIndex({ ...bounds, clock: this.#clock });
      this.#former = undefined;
      this.#swapTables(index);
      this.#former = { index, next: index.#newest };
    }
    this.#maxPerWorker = Math.max(0, Math.min(this.#maxEntries, Math.floor(maxBlocksPerWorker)));
  }

  /** Entries of present workers. */
  get entries(): number {
    return this.#entries;
  }

  /** Memory of table and entries in use, bytes; never above `maxBytes`, except while `sweep` moves entries to a table of another size. */
  get bytes(): number {
    return this.#buckets.byteLength + ENTRY_BYTES * (this.#used + 1) + (this.#former?.index.bytes ?? 0);
  }

  entriesOf(slot: number): number {
    return this.#rowOfSlot[slot]?.entries ?? 0;
  }

  match(blocks: PromptBlocks, slot: number): CacheMatch {
    const held = this.#former
      ? Math.max(this.#heldIn(slot, blocks), this.#former.index.#heldIn(slot, blocks))
      : this.#heldIn(slot, blocks);
    if (held === 0) return NOT_HELD;
    return { tokens: tokensOf(blocks, held), source: 'predicted' };
  }

  matchAll(blocks: PromptBlocks, end: number): MatchColumns {
    this.#reserve(end);
    const former = this.#former?.index;
    if (former === undefined) return { rows: this.#numberOfSlot, tokens: this.#matchRows(blocks) };
    for (const row of former.#rowOfSlot) if (row && !this.#rowOfSlot[row.slot]) this.#newRow(row.slot);
    const rows = this.#numberOfSlot;
    const tokens = this.#matchRows(blocks);
    const before = former.#matchRows(blocks);
    for (const row of former.#rowOfSlot) {
      if (!row) continue;
      const at = rows[row.slot]!;
      tokens[at] = Math.max(tokens[at]!, before[row.number]!);
    }
    return { rows, tokens };
  }

  /** Notes that the prompt goes to the worker in `slot`, whose cache will then hold its blocks. */
  record(blocks: PromptBlocks, slot: number): void {
    const count = Math.min(blocks.count, this.#maxPerWorker);
    if (count === 0) return;
    const row = this.#rowOfSlot[slot] ?? this.#newRow(slot);
    const usedAt = Math.floor(this.#clock.now() / 1000);
    const { hashes } = blocks;
    const held = this.#heldBlocks(hashes, count, row.number);
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
      let entry = this.#is(next, low, high, row.number) ? next : this.#find(low, high, row.number);
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

  /** The worker in `slot` left or lost its cache: nothing of it matches any more. Its memory is reused first. */
  forget(slot: number): void {
    this.#former?.index.forget(slot);
    const row = this.#rowOfSlot[slot];
    if (row === undefined) return;
    this.#rowOfSlot[slot] = undefined;
    this.#numberOfSlot[slot] = 0;
    this.#entries -= row.entries;
    row.slot = -1;
    (row.entries === 0 ? this.#freeRows : this.#leftRows).push(row);
  }

  /**
   * Moves what is to be moved to another table, frees entries of workers that left, then drops idle ones; about 20,000
   * at a time so that the event loop is not held up.
   *
   * @returns whether there is more to do.
   */
  sweep(): boolean {
    let budget = this.#move(SWEEP_LIMIT);
    for (; budget > 0; budget--) {
      const entry = this.#takeLeft();
      if (entry === 0) break;
      this.#release(entry);
    }
    const usedSince = Math.floor((this.#clock.now() - this.#idleMs) / 1000);
    for (; budget > 0; budget--) {
      if (this.#oldest === 0 || this.#word(this.#oldest, USED_AT) >= usedSince) return false;
      this.#release(this.#drop(this.#oldest));
    }
    return true;
  }

  #heldIn(slot: number, blocks: PromptBlocks): number {
    const row = this.#rowOfSlot[slot];
    return row === undefined ? 0 : this.#heldBlocks(blocks.hashes, blocks.count, row.number);
  }

  #heldBlocks(hashes: Uint32Array, count: number, row: number): number {
    if (count === 0 || !this.#holds(hashes, 0, row)) return 0;
    // Held blocks are closed under prefixes: gallop to a block that is not held, then search between.
    let held = 0;
    let notHeld = 1;
    while (notHeld < count && this.#holds(hashes, notHeld, row)) {
      held = notHeld;
      notHeld = 2 * notHeld + 1;
    }
    notHeld = Math.min(notHeld, count);
    while (notHeld - held > 1) {
      const middle = (held + notHeld) >> 1;
      if (this.#holds(hashes, middle, row)) held = middle;
      else notHeld = middle;
    }
    return notHeld;
  }

  #holds(hashes: Uint32Array, index: number, row: number): boolean {
    return this.#find(hashes[2 * index]! | 0, hashes[2 * index + 1]! | 0, row) !== 0;
  }

  /** Whether this entry, or none for 0, is the one that `find` would come to. */
  #is(entry: number, low: number, high: number, row: number): boolean {
    const words = this.#words;
    const at = entry * WORDS;
    return entry !== 0 && words[at] === low && words[at + HIGH] === high && words[at + ROW] === row;
  }

  /** How many tokens of the prompt each row holds, by its number: who holds a block holds all before it, too. */
  #matchRows(blocks: PromptBlocks): Float64Array {
    if (this.#tokensByRow.length < this.#rows.length)
      this.#tokensByRow = new Float64Array(2 * this.#rows.length);
    const byRow = this.#tokensByRow.fill(0, 0, this.#rows.length);
    for (let held = 0; held < blocks.count;) {
      const holders = this.#holders(blocks, held);
      if (holders === 0) break;
      // As far as the same rows go on: gallop to a block that fewer hold, then search between.
      let fewer = held + 1;
      for (let step = 1; fewer < blocks.count && this.#holders(blocks, fewer) === holders; step *= 2) {
        held = fewer;
        fewer += step;
      }
      fewer = Math.min(fewer, blocks.count);
      while (fewer - held > 1) {
        const middle = (held + fewer) >> 1;
        if (this.#holders(blocks, middle) === holders) held = middle;
        else fewer = middle;
      }
      this.#mark(blocks, held, byRow);
      held = fewer;
    }
    return byRow;
  }

  /** How many rows hold a block. */
  #holders({ hashes }: PromptBlocks, index: number): number {
    const low = hashes[2 * index]! | 0;
    const high = hashes[2 * index + 1]! | 0;
    const place = this.#common.find(low, high);
    return place < 0 ? this.#holdersIn(low & this.#bucketMask, low, high) : this.#common.rowsAt(place);
  }

  #holdersIn(bucket: number, low: number, high: number): number {
    const words = this.#words;
    let holders = 0;
    for (let entry = this.#buckets[bucket]!; entry !== 0; entry = words[entry * WORDS + CHAIN]!)
      if (words[entry * WORDS] === low && words[entry * WORDS + HIGH] === high) holders++;
    return holders;
  }

  /** Writes for each row that holds a block how many tokens it holds with it. */
  #mark(blocks: PromptBlocks, index: number, byRow: Float64Array): void {
    const { hashes } = blocks;
    const words = this.#words;
    const low = hashes[2 * index]! | 0;
    const high = hashes[2 * index + 1]! | 0;
    const tokens = tokensOf(blocks, index + 1);
    const place = this.#common.find(low, high);
    if (place >= 0) {
      this.#common.mark(place, byRow, tokens);
      return;
    }
    let entry = this.#buckets[low & this.#bucketMask]!;
    for (; entry !== 0; entry = words[entry * WORDS + CHAIN]!) {
      const at = entry * WORDS;
      if (words[at] === low && words[at + HIGH] === high) byRow[words[at + ROW]!] = tokens;
    }
  }

  #find(low: number, high: number, row: number): number {
    const words = this.#words;
    let entry = this.#buckets[this.#bucketOf(low, high, row)]!;
    while (entry !== 0) {
      const at = entry * WORDS;
      if (words[at] === low && words[at + HIGH] === high && words[at + ROW] === row) return entry;
      entry = words[at + CHAIN]!;
    }
    return 0;
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
    const isRowFull = row.entries + to - from > this.#maxPerWorker;
    const towardsNewer = isRowFull ? ROW_NEWER : NEWER;
    let entry = isRowFull ? row.oldest : this.#hasRoom() ? 0 : this.#oldest;
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
    for (let drop = 0; drop < 2 && row.entries >= this.#maxPerWorker; drop++)
      this.#release(this.#drop(row.oldest));
    return this.#write(low, high, row);
  }

  #write(low: number, high: number, row: Row): number {
    const entry = this.#allocate();
    const at = entry * WORDS;
    this.#words[at + LOW] = low;
    this.#words[at + HIGH] = high;
    this.#words[at + ROW] = row.number;
    this.#chain(entry, this.#bucketOf(low, high, row.number));
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
    if (this.#holdersIn(bucket, low, high) < MANY_HOLDERS) return;
    const place = this.#common.claim(low, high);
    if (place < 0) return;
    let next = this.#buckets[bucket]!;
    while (next !== 0) {
      const entry = next;
      next = this.#word(entry, CHAIN);
      if (this.#word(entry, LOW) !== low || this.#word(entry, HIGH) !== high) continue;
      const row = this.#word(entry, ROW);
      this.#unchain(entry, bucket);
      this.#common.add(place, row);
      this.#chain(entry, this.#bucketOf(low, high, row));
    }
  }

  /** A row no longer holds a common block. Where few are left, they share a bucket again. */
  #lose(place: number, low: number, high: number, row: number): void {
    this.#common.remove(place, row);
    if (this.#common.rowsAt(place) > FEW_HOLDERS) return;
    const left = this.#common.rowsOf(place).map((one) => this.#find(low, high, one));
    for (const entry of left) this.#unchain(entry, this.#bucketOf(low, high, this.#word(entry, ROW)));
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

  /** Exchanges everything but the clock and the times with another index. */
  #swapTables(other: PredictedIndex): void {
    [this.#maxBytes, other.#maxBytes] = [other.#maxBytes, this.#maxBytes];
    [this.#maxEntries, other.#maxEntries] = [other.#maxEntries, this.#maxEntries];
    [this.#buckets, other.#buckets] = [other.#buckets, this.#buckets];
    [this.#bucketMask, other.#bucketMask] = [other.#bucketMask, this.#bucketMask];
    [this.#words, other.#words] = [other.#words, this.#words];
    [this.#common, other.#common] = [other.#common, this.#common];
    [this.#rows, other.#rows] = [other.#rows, this.#rows];
    [this.#freeRows, other.#freeRows] = [other.#freeRows, this.#freeRows];
    [this.#leftRows, other.#leftRows] = [other.#leftRows, this.#leftRows];
    [this.#rowOfSlot, other.#rowOfSlot] = [other.#rowOfSlot, this.#rowOfSlot];
    [this.#numberOfSlot, other.#numberOfSlot] = [other.#numberOfSlot, this.#numberOfSlot];
    [this.#newest, other.#newest] = [other.#newest, this.#newest];
    [this.#oldest, other.#oldest] = [other.#oldest, this.#oldest];
    [this.#free, other.#free] = [other.#free, this.#free];
    [this.#used, other.#used] = [other.#used, this.#used];
    [this.#entries, other.#entries] = [other.#entries, this.#entries];
  }

  /** Moves entries from the former table, newest first, which keeps prefixes closed. Returns what is left of `budget`. */
  #move(budget: number): number {
    const former = this.#former;
    if (former === undefined) return budget;
    for (; budget > 0 && former.next !== 0 && this.#hasRoom(); budget--) {
      const entry = former.next;
      former.next = former.index.#word(entry, OLDER);
      const { slot } = former.index.#rowAt(former.index.#word(entry, ROW));
      // A worker that has left, or whose row is full, gets nothing more.
      if (slot >= 0 && !this.#moveEntry(former.index, entry, slot)) former.index.forget(slot);
    }
    if (budget > 0) this.#former = undefined;
    return budget;
  }

  /** Entries that requests have added meanwhile are newer, so a moved one becomes the oldest. False: no room for it. */
  #moveEntry(from: PredictedIndex, entry: number, slot: number): boolean {
    const row = this.#rowOfSlot[slot] ?? this.#newRow(slot);
    const low = from.#word(entry, LOW);
    const high = from.#word(entry, HIGH);
    if (this.#find(low, high, row.number) !== 0) return true;
    if (row.entries >= this.#maxPerWorker) return false;
    const moved = this.#write(low, high, row);
    this.#linkOldest(moved, row);
    this.#words[moved * WORDS + USED_AT] = from.#word(entry, USED_AT);
    return true;
  }

  #hasRoom(): boolean {
    return this.#free !== 0 || this.#leftRows.length > 0 || this.#used < this.#maxEntries;
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
    const high = this.#word(entry, HIGH);
    this.#unlink(entry, row);
    this.#unchain(entry, this.#bucketOf(low, high, row.number));
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

  #newRow(slot: number): Row {
    const row = this.#freeRows.pop() ?? {
      number: this.#rows.length,
      slot,
      entries: 0,
      newest: 0,
      oldest: 0,
    };
    row.slot = slot;
    this.#rows[row.number] = row;
    while (this.#rowOfSlot.length <= slot) this.#rowOfSlot.push(undefined);
    this.#rowOfSlot[slot] = row;
    this.#reserve(slot + 1);
    this.#numberOfSlot[slot] = row.number;
    return row;
  }

  #reserve(slots: number): void {
    if (slots <= this.#numberOfSlot.length) return;
    const longer = new Int32Array(2 * slots);
    longer.set(this.#numberOfSlot);
    this.#numberOfSlot = longer;
  }

  #rowAt(number: number): Row {
    const row = this.#rows[number];
    if (row === undefined) throw new Error(`predicted index: entry of unknown row ${String(number)}`);
    return row;
  }

  #word(entry: number, field: number): number {
    return this.#words[entry * WORDS + field]!;
  }

  #bucketOf(low: number, high: number, row: number): number {
    const apart = this.#common.find(low, high) < 0 ? 0 : Math.imul(row + 1, 0x9e3779b1);
    return (low ^ apart) & this.#bucketMask;
  }
}
