import { SHARED_SLOTS, type LedgerColumns } from './ledger-columns.ts';

export interface SlotId {
  readonly slot: number;
  readonly generation: number;
}

/**
 * Which worker has which slot, as this thread knows it. Control gives them out, and tells the request threads, which hear of it a
 * little later: a slot is given out again when no thread has a lease on it.
 */
export class LedgerSlots {
  readonly #columns: LedgerColumns;
  readonly #mayGive: boolean;
  /** Generation of the worker that has the slot; 0 = none. */
  readonly #generations: number[] = [];
  /** Whose worker left. */
  readonly #left: number[] = [];
  #used = 0;

  constructor(columns: LedgerColumns, mayGive: boolean) {
    this.#columns = columns;
    this.#mayGive = mayGive;
  }

  /** Those from there on were never used. */
  get used(): number {
    return this.#used;
  }

  /** 0: no worker has it. */
  generation(slot: number): number {
    return this.#generations[slot] ?? 0;
  }

  /** Throws a `RangeError` where no more workers have room. */
  allocate(): SlotId {
    if (!this.#mayGive) throw new Error('slots are given out by the thread in control');
    for (let at = this.#left.length - 1; at >= 0; at--) {
      const slot = this.#left[at]!;
      const given = this.#give(slot);
      if (!given) continue;
      this.#left.splice(at, 1);
      return given;
    }
    if (this.#used === this.#columns.slots && !this.#columns.grow())
      throw new RangeError(`a router with several threads has room for ${SHARED_SLOTS} workers`);
    const slot = this.#used++;
    const generation = 1;
    Atomics.store(this.#columns.generations, slot, generation);
    this.#generations[slot] = generation;
    return { slot, generation };
  }

  free(slot: number): void {
    this.assertTaken(slot);
    this.#generations[slot] = 0;
    this.#left.push(slot);
  }

  /** In a request thread: control has given it out. */
  adopt(slot: number, generation: number): void {
    this.#generations[slot] = generation;
    if (slot >= this.#used) this.#used = slot + 1;
  }

  /** In a request thread: the worker left. */
  forget(slot: number): void {
    this.#generations[slot] = 0;
  }

  assertTaken(slot: number): void {
    if (this.generation(slot) === 0) throw new RangeError(`No worker has slot ${String(slot)}`);
  }

  /**
   * A thread that has not heard that the worker left may take a lease at this very moment. It counts first and looks at the
   * generation then, and here it is the other way round, so that one of the two sees what the other does.
   */
  #give(slot: number): SlotId | undefined {
    const { generations } = this.#columns;
    if (this.#columns.owned(slot) !== 0) return undefined;
    const generation = generations[slot]! + 1;
    Atomics.store(generations, slot, generation);
    if (this.#columns.owned(slot) !== 0) return undefined;
    this.#generations[slot] = generation;
    return { slot, generation };
  }
}
