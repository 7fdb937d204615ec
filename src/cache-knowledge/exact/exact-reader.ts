import type { PromptBlocks } from '../../routing/blocks.ts';
import type { ExactCaches } from '../exact-caches.ts';
import { LINE_HEAD, lineAt, lineShape, MOST_LINES, type LineShape } from './entry-lines.ts';
import { placeOf, rowSeed } from './entry-table.ts';
import { ENTRY, HEAD, LIVE, META, MOST_SLOTS, ROW, SLOT, type ExactMemory } from './exact-memory.ts';
import { CPU, GPU, TIERS } from './tiers.ts';

const { WORDS, LOW, HIGH, SEAL } = ENTRY;
const META_WORD = ENTRY.META;
const { ROW_MASK } = META;
const { COUNT, ELSEWHERE } = LINE_HEAD;

/** Ranks of one worker that are looked at. */
const MOST_RANKS = 1024;
/** Blocks that are looked at one by one in a look at all workers: behind that many, what follows a hole is not found out. */
const MOST_WALKED = 8192;

/** Different lengths that are kept in one look. */
const MOST_LENGTHS = 8;

/** Nothing is known of what a worker holds: no events of it are received, or they are of blocks of another size. */
export const NOT_KNOWN = -1;

/** A row has no entry of a block. */
const ABSENT = -1;

type Chain = Pick<PromptBlocks, 'hashes' | 'count' | 'tokensPerBlock'>;

/** Leading blocks of a prompt by the best tier that has them. */
export interface TierBlocks {
  readonly gpu: number;
  readonly cpu: number;
  readonly disk: number;
}

/**
 * Looks at an exact index, also while another thread writes it. Nothing is locked, and nothing is waited for: a look takes a bounded
 * number of steps. It never finds a block for a worker that never held it: an entry says itself what it is (`SEAL`), and a slot's
 * version is read again after its rows were looked at; where it has changed, they are looked at once more, and if it has changed
 * again, nothing is held. What changes its place at that moment may be overlooked: then a match is too short for once.
 *
 * A worker with several ranks counts with the mean of them: which one computes a prompt is its own business, and it does not look at
 * what they hold.
 */
export class ExactReader implements ExactCaches {
  readonly #head: Int32Array;
  readonly #slots: Int32Array;
  readonly #rows: Int32Array;
  readonly #blocks: Int32Array;
  readonly #shape: LineShape;
  readonly #words: Int32Array;
  readonly #seed: number;
  #held = new Int32Array(0);
  #walked = 0;
  /** How many blocks rows were found to hold in this look, in rising order: with a prompt that many share, others hold as many. */
  readonly #lengths = new Int32Array(MOST_LENGTHS);
  #lengthCount = 0;

  constructor(memory: ExactMemory) {
    this.#head = new Int32Array(memory.head);
    this.#slots = new Int32Array(memory.slots);
    this.#rows = new Int32Array(memory.rows);
    this.#blocks = new Int32Array(memory.blocks);
    this.#words = new Int32Array(memory.entries);
    this.#shape = lineShape(this.#blocks, this.#words.length / WORDS - 1);
    this.#seed = this.#head[HEAD.SEED]!;
  }

  /** Whether the events of the worker in the slot are received, so that what it holds is known. */
  isLive(slot: number): boolean {
    if (slot >= MOST_SLOTS || Atomics.load(this.#head, HEAD.ALIVE) === 0) return false;
    return this.#isLive(SLOT.WORDS * slot);
  }

  /** Tokens of a block of the worker in the slot; 0 while none has been told of. */
  blockSize(slot: number): number {
    return this.isLive(slot) ? this.#slots[SLOT.WORDS * slot + SLOT.BLOCK_SIZE]! : 0;
  }

  /** How many leading blocks the worker in the slot holds, in any tier; `NOT_KNOWN` where that is not known. */
  match(chain: Chain, slot: number): number {
    this.#begin();
    return this.isLive(slot) ? this.#matchSlot(chain, slot) : NOT_KNOWN;
  }

  /** `match` of all slots below `end`. Good until the next call. */
  matchAll(chain: Chain, end: number): Int32Array {
    if (this.#held.length < end) this.#held = new Int32Array(2 * end);
    const held = this.#held;
    const known = Atomics.load(this.#head, HEAD.ALIVE) === 0 ? 0 : Math.min(end, MOST_SLOTS);
    this.#begin();
    for (let slot = 0; slot < known; slot++)
      held[slot] = this.#isLive(SLOT.WORDS * slot) ? this.#matchSlot(chain, slot) : NOT_KNOWN;
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
          const tiers = this.#tiersOf(chain, block, row);
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
    return generation !== 0 && this.#slots[at + SLOT.STATE] === ((generation << 2) | LIVE);
  }

  #matchSlot(chain: Chain, slot: number): number {
    const at = SLOT.WORDS * slot;
    for (let attempt = 0; attempt < 2; attempt++) {
      const version = Atomics.load(this.#slots, at + SLOT.VERSION);
      const size = this.#slots[at + SLOT.BLOCK_SIZE]!;
      // Of a worker that has told of no block yet the size is not known, but what it holds is: nothing.
      if (size !== 0 && size !== chain.tokensPerBlock) return NOT_KNOWN;
      const rows = this.#slots[at + SLOT.ROWS]!;
      let sum = 0;
      let row = this.#slots[at + SLOT.ROW]!;
      for (let left = rows; row !== 0 && left > 0; left--) {
        sum += this.#heldBy(row, chain);
        row = this.#rows[ROW.WORDS * row + ROW.NEXT]!;
      }
      if (Atomics.load(this.#slots, at + SLOT.VERSION) === version)
        return rows === 1 ? sum : Math.floor(sum / Math.max(1, rows));
    }
    return 0;
  }

  #heldBy(row: number, chain: Chain): number {
    const known = this.#knownTo(row, chain);
    if (this.#rows[ROW.WORDS * row + ROW.HOLES] === 0) return known;
    for (let block = 0; block < known; block++)
      if (++this.#walked > MOST_WALKED || this.#tiersOf(chain, block, row) === 0) return block;
    return known;
  }

  /** How many blocks a row has entries of, holes included: those are closed under prefixes, and searched in few steps. */
  #knownTo(row: number, chain: Chain): number {
    const { count } = chain;
    if (count === 0 || !this.#knows(chain, 0, row)) return 0;
    const lengths = this.#lengths;
    // Between two lengths that others have...
    let below = -1;
    let above = this.#lengthCount;
    while (above - below > 1) {
      const middle = (below + above) >> 1;
      if (this.#knows(chain, lengths[middle]! - 1, row)) below = middle;
      else above = middle;
    }
    let held = below < 0 ? 0 : lengths[below]! - 1;
    let notHeld = above < this.#lengthCount ? lengths[above]! - 1 : count;
    // ...most often just the lower one: gallop to a block that is not held, then search between.
    let step = 1;
    while (held + step < notHeld && this.#knows(chain, held + step, row)) {
      held += step;
      step *= 2;
    }
    notHeld = Math.min(notHeld, held + step);
    while (notHeld - held > 1) {
      const middle = (held + notHeld) >> 1;
      if (this.#knows(chain, middle, row)) held = middle;
      else notHeld = middle;
    }
    this.#keepLength(notHeld, below + 1);
    return notHeld;
  }

  /** @param at Its place among the others, or that of an equal one before it. */
  #keepLength(length: number, at: number): void {
    const lengths = this.#lengths;
    if (this.#lengthCount === MOST_LENGTHS || (at > 0 && lengths[at - 1] === length)) return;
    lengths.copyWithin(at + 1, at, this.#lengthCount++);
    lengths[at] = length;
  }

  #begin(): void {
    this.#walked = 0;
    this.#lengthCount = 0;
  }

  #knows(chain: Chain, block: number, row: number): boolean {
    return this.#look(chain, block, row, 0) !== ABSENT;
  }

  /** Which tiers have a block, as bits: of all its entries, as an engine may have two names for it. */
  #tiersOf(chain: Chain, block: number, row: number): number {
    return Math.max(0, this.#look(chain, block, row, TIERS));
  }

  /** The bits of `mask` that a row's entries of a block have together; without a mask those of the first one. */
  #look({ hashes }: Chain, block: number, row: number, mask: number): number {
    const words = this.#words;
    const lines = this.#blocks;
    const { linesPerHash, tagShift, entryMask } = this.#shape;
    const low = hashes[2 * block]! | 0;
    const high = hashes[2 * block + 1]! | 0;
    const seal = high ^ Math.imul(row, SEAL);
    const place = placeOf(low, high, rowSeed(this.#seed, row));
    const tag = place << tagShift;
    let found = ABSENT;
    for (let turn = 0; turn < MOST_LINES; turn++) {
      const line = lineAt(place, turn, linesPerHash);
      const head = lines[line]!;
      for (let at = line + (head & COUNT); at > line; at--) {
        const word = lines[at]!;
        if (((word ^ tag) & ~entryMask) !== 0) continue;
        const from = (word & entryMask) * WORDS;
        const meta = words[from + META_WORD]!;
        if (words[from + LOW] !== low || words[from + HIGH] !== seal || (meta & ROW_MASK) !== row) continue;
        if (mask === 0) return 0;
        found = Math.max(0, found) | (meta & mask);
      }
      if (turn === 0 && head < ELSEWHERE) break;
    }
    return found;
  }
}
