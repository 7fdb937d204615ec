import type { ThreadMemory } from '../base/thread-memory.ts';

/** A power of two. */
const ENTRIES = 1024;

/**
 * At which slots each thread changed something lately, so that who keeps sums looks at those alone: a ring per thread, which
 * it alone writes, and which everybody reads at his own pace. Who is too slow looks at all of them.
 */
export class LedgerChanges {
  /** How many changes there were, by thread; they wrap around. */
  readonly #counts: Int32Array;
  readonly #rings: readonly Int32Array[];
  readonly #self: number;
  /** How many of them this thread has seen. */
  readonly #seen: Int32Array;
  #none = true;

  constructor(memory: ThreadMemory) {
    this.#counts = new Int32Array(memory.region('ledger:changes', 4 * memory.rows));
    this.#rings = Array.from(
      { length: memory.rows },
      (_, row) => new Int32Array(memory.region(`ledger:changes:${row}`, 4 * ENTRIES)),
    );
    this.#self = memory.self;
    this.#seen = new Int32Array(memory.rows);
  }

  /** To be called when the counters are written: whoever sees the change sees those too. */
  note(slot: number): void {
    const count = this.#counts[this.#self]!;
    this.#rings[this.#self]![count & (ENTRIES - 1)] = slot;
    Atomics.store(this.#counts, this.#self, count + 1);
  }

  /** Everything may have changed. */
  noteAll(): void {
    Atomics.store(this.#counts, this.#self, this.#counts[this.#self]! + ENTRIES + 1);
  }

  /** The slots that others or this thread changed since the last call. False: whoever asks is to look at all of them. */
  drain(visit: (slot: number) => void): boolean {
    let complete = !this.#none;
    this.#none = false;
    for (const [row, ring] of this.#rings.entries()) {
      const until = Atomics.load(this.#counts, row);
      const from = this.#seen[row]!;
      this.#seen[row] = until;
      if (!complete || (until - from) >>> 0 > ENTRIES) {
        complete = false;
        continue;
      }
      for (let at = from; at !== until; at = (at + 1) | 0) visit(ring[at & (ENTRIES - 1)]!);
      // Written over while they were read.
      if ((Atomics.load(this.#counts, row) - from) >>> 0 > ENTRIES) complete = false;
    }
    return complete;
  }
}
