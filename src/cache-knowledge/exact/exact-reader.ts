import type { ExactCaches } from '../exact-caches.ts';
import { HEAD, MOST_SLOTS, ROW, SLOT, stateWord, WHOLE, type ExactMemory } from './exact-memory.ts';
import { RowSearch, type Chain } from './row-search.ts';
import { CPU, GPU } from './tiers.ts';

/** Ranks of one worker that are looked at. */
const MOST_RANKS = 1024;
/** Blocks that are looked at one by one in a look at all workers: behind that many, what follows a hole is not found out. */
const MOST_WALKED = 8192;

/** Nothing is known of what a worker holds: no events of it are received, or they are of blocks of another size. */
export const NOT_KNOWN = -1;

const LIVE_WHOLE = stateWord(0, 'live', 'whole');

/** Leading blocks of a prompt by the best tier that has them. */
export interface TierBlocks {
  readonly gpu: number;
  readonly cpu: number;
  readonly disk: number;
}

/**
 * Looks at an exact index, also while another thread writes it. Nothing is locked, and nothing is waited for: a look takes a bounded
 * number of steps. It never finds a block for a worker that never held it: an entry says itself what it is (`SEAL`), and a slot's
 * version is read again after its rows were looked at; where it keeps changing, nothing is held. What changes its place at that moment
 * may be overlooked: then a match is too short for once.
 *
 * A worker with several ranks counts with the mean of them: which one computes a prompt is its own business, and it does not look at
 * what they hold.
 */
export class ExactReader implements ExactCaches {
  readonly #head: Int32Array;
  readonly #slots: Int32Array;
  readonly #rows: Int32Array;
  readonly #search: RowSearch;
  /** By slot: as they were when a look at all of them began. */
  readonly #versions = new Int32Array(MOST_SLOTS);
  readonly #fence = new Int32Array(new SharedArrayBuffer(4));
  #held = new Int32Array(0);
  #walked = 0;

  constructor(memory: ExactMemory) {
    this.#head = new Int32Array(memory.head);
    this.#slots = new Int32Array(memory.slots);
    this.#rows = new Int32Array(memory.rows);
    this.#search = new RowSearch(memory);
  }

  /** Whether the events of the worker in the slot are received, so that what it holds is known. */
  isLive(slot: number): boolean {
    if (slot >= MOST_SLOTS || Atomics.load(this.#head, HEAD.ALIVE) === 0) return false;
    return this.#isLive(SLOT.WORDS * slot);
  }

  /** Whether `match` finds all that the worker in the slot holds; else it may hold more. */
  isWhole(slot: number): boolean {
    return this.isLive(slot) && (this.#slots[SLOT.WORDS * slot + SLOT.STATE]! & WHOLE) !== 0;
  }

  /** Tokens of a block of the worker in the slot; 0 while none has been told of. */
  blockSize(slot: number): number {
    return this.isLive(slot) ? this.#slots[SLOT.WORDS * slot + SLOT.BLOCK_SIZE]! : 0;
  }

  /** How many leading blocks the worker in the slot holds, in any tier; `NOT_KNOWN` where that is not known. */
  match(chain: Chain, slot: number): number {
    this.#walked = 0;
    return this.isLive(slot) ? this.#matchSlot(chain, slot) : NOT_KNOWN;
  }

  /** `match` of all slots below `end`. Good until the next call. */
  matchAll(chain: Chain, end: number): Int32Array {
    if (this.#held.length < end) this.#held = new Int32Array(2 * end);
    const held = this.#held;
    const known = Atomics.load(this.#head, HEAD.ALIVE) === 0 ? 0 : Math.min(end, MOST_SLOTS);
    this.#walked = 0;
    this.#search.begin();
    for (let slot = 0; slot < known; slot++) {
      const at = SLOT.WORDS * slot;
      this.#versions[slot] = this.#versionBefore(at);
      held[slot] = this.#isLive(at) && this.#hasSize(chain, at) ? 0 : NOT_KNOWN;
      if (held[slot] === 0) this.#addRows(at);
    }
    this.#search.run(chain);
    for (let slot = 0; slot < known; slot++) {
      if (held[slot] === NOT_KNOWN) continue;
      const at = SLOT.WORDS * slot;
      held[slot] = this.#heldIn(chain, at);
      if (this.#isOther(this.#versions[slot]!, at)) held[slot] = this.#matchSlot(chain, slot);
    }
    held.fill(NOT_KNOWN, known, end);
    return held;
  }

  /** Whether the worker in the slot has blocks that do not lie in the memory of its GPU. */
  isAway(slot: number): boolean {
    if (!this.isLive(slot)) return false;
    let row = this.#slots[SLOT.WORDS * slot + SLOT.ROW]!;
    for (let left = MOST_RANKS; row !== 0 && left > 0; left--) {
      if (this.#rows[ROW.WORDS * row + ROW.AWAY] !== 0) return true;
      row = this.#rows[ROW.WORDS * row + ROW.NEXT]!;
    }
    return false;
  }

  /** Where the blocks lie that `match` has found. */
  tiers(chain: Chain, slot: number): TierBlocks {
    const held = this.match(chain, slot);
    if (held <= 0) return { gpu: 0, cpu: 0, disk: 0 };
    const at = SLOT.WORDS * slot;
    let cpu = 0;
    let disk = 0;
    for (let row = this.#slots[at + SLOT.ROW]!, left = MOST_RANKS; row !== 0 && left > 0; left--) {
      if (this.#rows[ROW.WORDS * row + ROW.AWAY] !== 0)
        for (let block = 0; block < held; block++) {
          const tiers = this.#search.tiersOf(chain, block, row);
          if (tiers === 0) break;
          if ((tiers & GPU) !== 0) continue;
          if ((tiers & CPU) !== 0) cpu++;
          else disk++;
        }
      row = this.#rows[ROW.WORDS * row + ROW.NEXT]!;
    }
    const rows = Math.max(1, this.#slots[at + SLOT.ROWS]!);
    cpu = Math.min(held, Math.floor(cpu / rows));
    disk = Math.min(held - cpu, Math.floor(disk / rows));
    return { gpu: held - cpu - disk, cpu, disk };
  }

  /** What the index says counts for the worker that control says is there. */
  #isLive(at: number): boolean {
    const generation = this.#slots[at + SLOT.GENERATION]!;
    return generation !== 0 && (this.#slots[at + SLOT.STATE]! | WHOLE) === ((generation << 3) | LIVE_WHOLE);
  }

  #matchSlot(chain: Chain, slot: number): number {
    const at = SLOT.WORDS * slot;
    for (let attempt = 0; attempt < 2; attempt++) {
      const version = this.#versionBefore(at);
      if (!this.#hasSize(chain, at)) return NOT_KNOWN;
      this.#search.begin();
      this.#addRows(at);
      this.#search.run(chain);
      const held = this.#heldIn(chain, at);
      if (!this.#isOther(version, at)) return held;
    }
    return 0;
  }

  /** Of a slot that is about to be looked at: while its rows change, the one that they had before. */
  #versionBefore(at: number): number {
    return Atomics.load(this.#slots, at + SLOT.VERSION) & ~1;
  }

  #isOther(version: number, at: number): boolean {
    // What was read before stays before it, on processors that would read the version first as well.
    Atomics.add(this.#fence, 0, 1);
    return Atomics.load(this.#slots, at + SLOT.VERSION) !== version;
  }

  /** Of a worker that has told of no block yet the size is not known, but what it holds is: nothing. */
  #hasSize({ tokensPerBlock }: Chain, at: number): boolean {
    const size = this.#slots[at + SLOT.BLOCK_SIZE]!;
    return size === 0 || size === tokensPerBlock;
  }

  #addRows(at: number): void {
    let row = this.#slots[at + SLOT.ROW]!;
    for (let left = this.#slots[at + SLOT.ROWS]!; row !== 0 && left > 0; left--) {
      this.#search.add(row);
      row = this.#rows[ROW.WORDS * row + ROW.NEXT]!;
    }
  }

  /** The mean of its rows, which were looked at. */
  #heldIn(chain: Chain, at: number): number {
    const rows = this.#slots[at + SLOT.ROWS]!;
    let sum = 0;
    let row = this.#slots[at + SLOT.ROW]!;
    for (let left = rows; row !== 0 && left > 0; left--) {
      sum += this.#heldBy(row, chain);
      row = this.#rows[ROW.WORDS * row + ROW.NEXT]!;
    }
    return rows === 1 ? sum : Math.floor(sum / Math.max(1, rows));
  }

  #heldBy(row: number, chain: Chain): number {
    const known = this.#search.knownTo(row);
    if (this.#rows[ROW.WORDS * row + ROW.HOLES] === 0) return known;
    for (let block = 0; block < known; block++)
      if (++this.#walked > MOST_WALKED || this.#search.tiersOf(chain, block, row) === 0) return block;
    return known;
  }
}
