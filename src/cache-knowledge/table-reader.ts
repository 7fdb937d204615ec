import { tokensIn, type PromptBlocks } from '../routing/blocks.ts';
import type { MatchColumns } from '../routing/policy.ts';
import { CommonBlocks, MOST_ROWS } from './common-blocks.ts';
import { ENTRY, HEAD, MOST_SLOTS, type TableMemory } from './table-memory.ts';

const { WORDS, LOW, HIGH, SEAL, ROW, CHAIN, USED_AT } = ENTRY;
const { VERSION, ROWS_END } = HEAD;

/**
 * Entries that are looked at in one bucket while another thread may be changing it: who is led from one chain to another,
 * or round and round, has seen enough. Chains are this long only where thousands of workers hold a block that is not common.
 */
const MOST_PROBES = 4096;

type Hashes = Pick<PromptBlocks, 'hashes' | 'count'>;

/**
 * Looks at a table, also while another thread writes it. Nothing is locked, and nothing is waited for: a look takes a bounded
 * number of steps. It never finds a block for a worker for whom none was recorded: an entry says itself what it is (`SEAL`), the
 * set of a common block's holders is read by its stamp, and rows by the version of the head, which is read again afterwards; where
 * it has changed, the look is made once more, and if it has changed again, nothing is held. What is being moved at that moment
 * may be overlooked: then a match is too short for once.
 */
export class TableReader {
  readonly common: CommonBlocks;
  readonly #head: Int32Array;
  readonly #rowOfSlot: Int32Array;
  readonly #buckets: Int32Array;
  readonly #bucketMask: number;
  readonly #words: Int32Array;
  readonly #mostProbes: number;
  /** Whether another thread may write. `Atomics` are calls, and would cost a router with one thread a tenth of each look. */
  readonly #isShared: boolean;
  /** By row: the tokens of one prompt that are held. */
  readonly #tokensByRow = new Float64Array(MOST_ROWS);
  /** `rowOfSlot` as it was in this version. */
  #rows = new Int32Array(0);
  #version = -1;

  /** @param mostProbes None for the thread that writes: it must find what there is. */
  constructor(memory: TableMemory, mostProbes = MOST_PROBES) {
    this.common = new CommonBlocks({ places: memory.commonPlaces, bits: memory.commonBits });
    this.#head = new Int32Array(memory.head);
    this.#rowOfSlot = new Int32Array(memory.rowOfSlot);
    this.#buckets = new Int32Array(memory.buckets);
    this.#bucketMask = this.#buckets.length - 1;
    this.#words = new Int32Array(memory.entries);
    this.#mostProbes = mostProbes;
    this.#isShared = memory.head instanceof SharedArrayBuffer;
  }

  /**
   * How many blocks of the prompt the worker in the slot holds.
   * @param usedSince Counts those alone that were used since then: of a prompt those are the leading ones, as its blocks are used
   *   tail first.
   */
  heldIn(slot: number, blocks: Hashes, usedSince?: number): number {
    if (slot >= MOST_SLOTS) return 0;
    if (!this.#isShared)
      return this.heldBlocks(blocks.hashes, blocks.count, this.#rowOfSlot[slot]!, usedSince);
    for (let attempt = 0; attempt < 2; attempt++) {
      const version = this.#readVersion();
      const row = this.#rowOfSlot[slot]!;
      const held = this.heldBlocks(blocks.hashes, blocks.count, row, usedSince);
      if (this.#readVersion() === version) return held;
    }
    return 0;
  }

  /** When the last of the blocks was used that the worker in the slot holds. */
  lastUse(slot: number, blocks: Hashes): number | undefined {
    const held = this.heldIn(slot, blocks);
    if (held === 0) return undefined;
    const at = 2 * (held - 1);
    const entry = this.find(blocks.hashes[at]! | 0, blocks.hashes[at + 1]! | 0, this.#rowOfSlot[slot]!);
    return entry === 0 ? undefined : this.#words[entry * WORDS + USED_AT];
  }

  /** Tokens of the prompt for all slots below `end`. Good until the next call. */
  matchAll(blocks: PromptBlocks, end: number): MatchColumns {
    if (!this.#isShared && end <= MOST_SLOTS)
      return { rows: this.#rowOfSlot, tokens: this.#matchRows(blocks) };
    for (let attempt = 0; attempt < 2; attempt++) {
      const rows = this.#readRows(end);
      const tokens = this.#matchRows(blocks);
      if (this.#readVersion() === this.#version) return { rows, tokens };
    }
    return { rows: this.#rows, tokens: this.#tokensByRow.fill(0) };
  }

  heldBlocks(hashes: Uint32Array, count: number, row: number, usedSince?: number): number {
    if (row === 0 || count === 0 || !this.#holds(hashes, 0, row, usedSince)) return 0;
    // Held blocks are closed under prefixes: gallop to a block that is not held, then search between.
    let held = 0;
    let notHeld = 1;
    while (notHeld < count && this.#holds(hashes, notHeld, row, usedSince)) {
      held = notHeld;
      notHeld = 2 * notHeld + 1;
    }
    notHeld = Math.min(notHeld, count);
    while (notHeld - held > 1) {
      const middle = (held + notHeld) >> 1;
      if (this.#holds(hashes, middle, row, usedSince)) held = middle;
      else notHeld = middle;
    }
    return notHeld;
  }

  /** The entry of a row's block; 0 if it holds none. */
  find(low: number, high: number, row: number): number {
    const words = this.#words;
    const seal = high ^ Math.imul(row, SEAL);
    let entry = this.#buckets[this.bucketOf(low, high, row)]!;
    for (let left = this.#mostProbes; entry !== 0 && left > 0; left--) {
      const at = entry * WORDS;
      if (words[at + LOW] === low && words[at + HIGH] === seal && words[at + ROW] === row) return entry;
      entry = words[at + CHAIN]!;
    }
    return 0;
  }

  /** How many entries for this block there are in the bucket. */
  holdersIn(bucket: number, low: number, high: number): number {
    const words = this.#words;
    let holders = 0;
    let entry = this.#buckets[bucket]!;
    for (let left = this.#mostProbes; entry !== 0 && left > 0; left--) {
      const at = entry * WORDS;
      if (words[at + LOW] === low && words[at + HIGH] === (high ^ Math.imul(words[at + ROW]!, SEAL)))
        holders++;
      entry = words[at + CHAIN]!;
    }
    return holders;
  }

  bucketOf(low: number, high: number, row: number): number {
    const apart = this.common.find(low, high) < 0 ? 0 : Math.imul(row + 1, 0x9e3779b1);
    return (low ^ apart) & this.#bucketMask;
  }

  #readVersion(): number {
    return this.#isShared ? Atomics.load(this.#head, VERSION) : this.#head[VERSION]!;
  }

  #readRows(end: number): Int32Array {
    const version = this.#readVersion();
    if (version === this.#version && end <= this.#rows.length) return this.#rows;
    if (end > this.#rows.length) this.#rows = new Int32Array(2 * end);
    this.#rows.set(this.#rowOfSlot.subarray(0, this.#rows.length));
    this.#version = version;
    return this.#rows;
  }

  #holds(hashes: Uint32Array, index: number, row: number, usedSince: number | undefined): boolean {
    const entry = this.find(hashes[2 * index]! | 0, hashes[2 * index + 1]! | 0, row);
    return entry !== 0 && (usedSince === undefined || this.#words[entry * WORDS + USED_AT]! >= usedSince);
  }

  /** How many tokens of the prompt each row holds, by its number: who holds a block holds all before it, too. */
  #matchRows(blocks: PromptBlocks): Float64Array {
    const byRow = this.#tokensByRow.fill(0, 0, this.#head[ROWS_END]);
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
    const place = this.common.find(low, high);
    return place < 0 ? this.holdersIn(low & this.#bucketMask, low, high) : this.common.rowsAt(place);
  }

  /** Writes for each row that holds a block how many tokens it holds with it. */
  #mark(blocks: PromptBlocks, index: number, byRow: Float64Array): void {
    const { hashes } = blocks;
    const words = this.#words;
    const low = hashes[2 * index]! | 0;
    const high = hashes[2 * index + 1]! | 0;
    const tokens = tokensIn(blocks, index + 1);
    const place = this.common.find(low, high);
    if (place >= 0) {
      this.common.mark(place, low, high, byRow, tokens);
      return;
    }
    let entry = this.#buckets[low & this.#bucketMask]!;
    for (let left = this.#mostProbes; entry !== 0 && left > 0; left--) {
      const at = entry * WORDS;
      const row = words[at + ROW]!;
      if (words[at + LOW] === low && words[at + HIGH] === (high ^ Math.imul(row, SEAL))) byRow[row] = tokens;
      entry = words[at + CHAIN]!;
    }
  }
}

/** What one table holds of a prompt, or two while the entries of the former one are being moved. */
export class IndexReader {
  readonly current: TableReader;
  readonly former: TableReader | undefined;
  /** By slot, where there are two tables. */
  #rows = new Int32Array(0);
  #tokens = new Float64Array(0);

  constructor(current: TableReader, former?: TableReader) {
    this.current = current;
    this.former = former;
  }

  /** When the last block that is held was used; undefined where none is. */
  lastUse(blocks: PromptBlocks, slot: number): number | undefined {
    return this.current.lastUse(slot, blocks);
  }

  match(blocks: PromptBlocks, slot: number, usedSince?: number): number {
    const held = this.current.heldIn(slot, blocks, usedSince);
    const before = this.former === undefined ? 0 : this.former.heldIn(slot, blocks, usedSince);
    return withAnswer(blocks, slot, tokensIn(blocks, Math.max(held, before)));
  }

  matchAll(blocks: PromptBlocks, end: number): MatchColumns {
    const columns = this.#matchAll(blocks, end);
    const slot = blocks.beginning?.answer?.slot ?? end;
    const row = slot < end ? columns.rows[slot]! : 0;
    if (row !== 0) columns.tokens[row] = withAnswer(blocks, slot, columns.tokens[row]!);
    return columns;
  }

  #matchAll(blocks: PromptBlocks, end: number): MatchColumns {
    const now = this.current.matchAll(blocks, end);
    if (this.former === undefined) return now;
    const before = this.former.matchAll(blocks, end);
    if (this.#rows.length < end) {
      this.#rows = Int32Array.from({ length: 2 * end }, (_, slot) => slot);
      this.#tokens = new Float64Array(2 * end);
    }
    for (let slot = 0; slot < end; slot++)
      this.#tokens[slot] = Math.max(now.tokens[now.rows[slot]!]!, before.tokens[before.rows[slot]!]!);
    return { rows: this.#rows, tokens: this.#tokens };
  }
}

/** Whoever answered the beginning of a prompt holds what it answered behind that. */
function withAnswer({ beginning, totalTokens }: PromptBlocks, slot: number, tokens: number): number {
  if (beginning?.expectsAnswer !== true || beginning.answer?.slot !== slot || tokens !== beginning.tokens)
    return tokens;
  return Math.min(totalTokens, tokens + beginning.answer.tokens);
}
