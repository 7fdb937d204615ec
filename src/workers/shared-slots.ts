import type { ThreadMemory } from '../base/thread-memory.ts';
import { SHARED_SLOTS } from './ledger-columns.ts';

/** What is counted of one worker. */
export interface Tally {
  /** By this thread; written by it alone. */
  own: number;
  /** By all threads. */
  readonly total: number;
}

/** For who counts alone. */
export class OwnTally implements Tally {
  own = 0;

  get total(): number {
    return this.own;
  }
}

/** One count per worker, with a row for each thread. */
export class RowTallies {
  readonly #rows: readonly Float64Array[];
  readonly #own: Float64Array;

  constructor(memory: ThreadMemory, name: string) {
    const bytes = SHARED_SLOTS * Float64Array.BYTES_PER_ELEMENT;
    const region = memory.region(`workers:${name}`, memory.rows * bytes);
    const rowAt = (row: number): Float64Array => new Float64Array(region, row * bytes, SHARED_SLOTS);
    this.#rows = Array.from({ length: memory.rows }, (_, row) => rowAt(row));
    this.#own = rowAt(memory.self);
  }

  of(slot: number): Tally {
    return new RowTally(this.#own, this.#rows, slot);
  }

  at(row: number, slot: number): number {
    return this.#rows[row]?.[slot] ?? 0;
  }

  /**
   * Another worker has the slot. A thread that has not heard of it yet may count the former one once more: then the new one
   * has one too many.
   */
  forget(slot: number): void {
    for (const row of this.#rows) row[slot] = 0;
  }

  /** The thread of this row has ended, and what it counted with it. */
  forgetRow(row: number): void {
    this.#rows[row]?.fill(0);
  }
}

class RowTally implements Tally {
  readonly #own: Float64Array;
  readonly #rows: readonly Float64Array[];
  readonly #slot: number;

  constructor(own: Float64Array, rows: readonly Float64Array[], slot: number) {
    this.#own = own;
    this.#rows = rows;
    this.#slot = slot;
  }

  get own(): number {
    return this.#own[this.#slot] ?? 0;
  }

  set own(count: number) {
    this.#own[this.#slot] = count;
  }

  get total(): number {
    let total = 0;
    for (const row of this.#rows) total += row[this.#slot] ?? 0;
    return total;
  }
}
