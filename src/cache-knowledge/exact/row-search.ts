import type { PromptBlocks } from '../../routing/blocks.ts';
import { LINE_HEAD, lineAt, lineShape, MOST_LINES, type LineShape } from './entry-lines.ts';
import { placeOf, rowSeed } from './entry-table.ts';
import { ENTRY, HEAD, META, MOST_ROWS, type ExactMemory } from './exact-memory.ts';
import { readEntriesAhead, readLinesAhead } from './read-ahead.ts';
import { TIERS } from './tiers.ts';

const { WORDS, LOW, HIGH, SEAL } = ENTRY;
const META_WORD = ENTRY.META;
const { ROW_MASK } = META;
const { COUNT, ELSEWHERE } = LINE_HEAD;

/** Rows that others are compared with in one look: where they hold so many different lengths, bisecting takes fewer steps. */
const MOST_LEADERS = 8;
/** A row has no entry of a block. */
const ABSENT = -1;

export type Chain = Pick<PromptBlocks, 'hashes' | 'count' | 'tokensPerBlock'>;

/**
 * Finds how many blocks of a prompt rows have entries of, holes included: those are closed under prefixes. Also while another thread
 * writes, as `ExactReader` says it.
 *
 * What a look takes is waiting for memory, so one block is looked for in many rows at a time, and none waits for the other.
 */
export class RowSearch {
  readonly #lines: Int32Array;
  readonly #shape: LineShape;
  readonly #words: Int32Array;
  readonly #seed: number;
  /** The rows of a look: those that are treated alike lie together. */
  readonly #rows = new Int32Array(MOST_ROWS);
  #count = 0;
  /** Where those that are looked at keep a block, and one word to spare. */
  readonly #places = new Int32Array(MOST_ROWS + 1);
  /** ...and what seems to be its entry. */
  readonly #seeming = new Int32Array(MOST_ROWS);
  /** By row. */
  readonly #known = new Int32Array(MOST_ROWS);
  #leaders = 0;

  constructor(memory: ExactMemory) {
    this.#lines = new Int32Array(memory.blocks);
    this.#words = new Int32Array(memory.entries);
    this.#shape = lineShape(this.#lines, this.#words.length / WORDS - 1);
    this.#seed = new Int32Array(memory.head)[HEAD.SEED]!;
  }

  /** Begins a look, at no row yet. */
  begin(): void {
    this.#count = 0;
  }

  add(row: number): void {
    if (this.#count < MOST_ROWS) this.#rows[this.#count++] = row;
  }

  run(chain: Chain): void {
    const { count } = chain;
    const knowing = count === 0 ? 0 : this.#split(chain, 0, 0, this.#count);
    this.#leaders = 0;
    this.#settle(knowing, this.#count, 0);
    this.#searchBetween(chain, { from: 0, end: knowing }, 0, count);
  }

  /** How many blocks a row that was looked at has entries of. */
  knownTo(row: number): number {
    return this.#known[row]!;
  }

  /** Which tiers have a block, as bits: of all its entries, as an engine may have two names for it. */
  tiersOf(chain: Chain, block: number, row: number): number {
    return Math.max(0, this.#look(chain, block, row, TIERS));
  }

  /** @param held All of these rows have an entry of this block, and none is looked for from `notHeld` on. */
  #searchBetween(
    chain: Chain,
    { from, end }: { readonly from: number; readonly end: number },
    held: number,
    notHeld: number,
  ): void {
    if (from === end) return;
    if (notHeld - held === 1) this.#settle(from, end, notHeld);
    else if (end - from === 1)
      this.#settle(from, end, this.#lengthOf(chain, this.#rows[from]!, held, notHeld));
    else if (this.#leaders++ < MOST_LEADERS) {
      // With a beginning that many share, the others hold as much as the first, or nearly.
      const length = this.#lengthOf(chain, this.#rows[from]!, held, notHeld);
      const fewer = length === held + 1 ? end : this.#split(chain, length - 1, from, end);
      const equal = length === notHeld ? from : this.#split(chain, length, from, fewer);
      this.#settle(equal, fewer, length);
      this.#searchBetween(chain, { from, end: equal }, length, notHeld);
      this.#searchBetween(chain, { from: fewer, end }, held, length - 1);
    } else {
      const middle = (held + notHeld) >> 1;
      const fewer = this.#split(chain, middle, from, end);
      this.#searchBetween(chain, { from, end: fewer }, middle, notHeld);
      this.#searchBetween(chain, { from: fewer, end }, held, middle);
    }
  }

  #settle(from: number, end: number, length: number): void {
    for (let at = from; at < end; at++) this.#known[this.#rows[at]!] = length;
  }

  /** The same of one row: gallop to a block that it does not hold, then search between. */
  #lengthOf(chain: Chain, row: number, from: number, end: number): number {
    let held = from;
    let step = 1;
    while (held + step < end && this.#knows(chain, held + step, row)) {
      held += step;
      step *= 2;
    }
    let notHeld = Math.min(end, held + step);
    while (notHeld - held > 1) {
      const middle = (held + notHeld) >> 1;
      if (this.#knows(chain, middle, row)) held = middle;
      else notHeld = middle;
    }
    return notHeld;
  }

  /** Brings those rows to the front that have an entry of a block. Gives where the others begin. */
  #split(chain: Chain, block: number, from: number, end: number): number {
    const rows = this.#rows;
    const places = this.#places;
    const low = chain.hashes[2 * block]! | 0;
    const high = chain.hashes[2 * block + 1]! | 0;
    const count = end - from;
    for (let at = 0; at < count; at++) places[at] = placeOf(low, high, rowSeed(this.#seed, rows[from + at]!));
    places[count] =
      readLinesAhead(this.#lines, this.#shape, places, count) ^
      readEntriesAhead(this.#lines, this.#shape, places, count, this.#words, this.#seeming);
    let front = from;
    for (let at = from; at < end; at++) {
      const row = rows[at]!;
      const seeming = this.#seeming[at - from]!;
      const knows =
        (seeming > 0 && this.#isBlock(seeming, low, high, row)) ||
        (seeming !== 0 && this.#lookAt(places[at - from]!, low, high, row, 0) !== ABSENT);
      if (!knows) continue;
      rows[at] = rows[front]!;
      rows[front++] = row;
    }
    return front;
  }

  #knows(chain: Chain, block: number, row: number): boolean {
    return this.#look(chain, block, row, 0) !== ABSENT;
  }

  /** The bits of `mask` that a row's entries of a block have together; without a mask those of the first one. */
  #look({ hashes }: Chain, block: number, row: number, mask: number): number {
    const low = hashes[2 * block]! | 0;
    const high = hashes[2 * block + 1]! | 0;
    return this.#lookAt(placeOf(low, high, rowSeed(this.#seed, row)), low, high, row, mask);
  }

  #lookAt(place: number, low: number, high: number, row: number, mask: number): number {
    const words = this.#words;
    const lines = this.#lines;
    const { linesPerHash, tagShift, entryMask } = this.#shape;
    const tag = place << tagShift;
    let found = ABSENT;
    for (let turn = 0; turn < MOST_LINES; turn++) {
      const line = lineAt(place, turn, linesPerHash);
      const head = lines[line]!;
      for (let at = line + (head & COUNT); at > line; at--) {
        const word = lines[at]!;
        if (((word ^ tag) & ~entryMask) !== 0) continue;
        const entry = word & entryMask;
        if (!this.#isBlock(entry, low, high, row)) continue;
        if (mask === 0) return 0;
        found = Math.max(0, found) | (words[entry * WORDS + META_WORD]! & mask);
      }
      if (turn === 0 && head < ELSEWHERE) break;
    }
    return found;
  }
  #isBlock(entry: number, low: number, high: number, row: number): boolean {
    const words = this.#words;
    const from = entry * WORDS;
    return (
      words[from + LOW] === low &&
      words[from + HIGH] === (high ^ Math.imul(row, SEAL)) &&
      (words[from + META_WORD]! & ROW_MASK) === row
    );
  }
}
