import { hash53 } from '../base/hash.ts';
import type { ThreadMemory } from '../base/thread-memory.ts';
import type { PolicyEvent, PolicyShare } from './policy.ts';

/** Slots that a shared column has; of a fleet with more, each thread remembers for itself. */
const SHARED_SLOTS = 4096;
/** Columns that policies share with their equals in other threads; two policies in one give ties to the same workers. */
const COLUMNS = 64;
const COUNTER_BYTES = 8;
const COLUMN_BYTES = COUNTER_BYTES + 8 * SHARED_SLOTS;

/**
 * Remembers which workers were given a cold prompt, and in which order. Ties between workers go to the one that was
 * given one longest ago, so that at low load, where ties decide everything, the caches of all workers fill evenly
 * instead of the first one's. Threads share counter and turns: who is given the prompt of one is known in all.
 */
export class ColdOrder {
  readonly #turn: BigInt64Array;
  /** By slot: the turn of its last cold prompt, 0 for never. */
  #turns: Float64Array;

  constructor(share?: PolicyShare) {
    if (share) {
      const memory = ColdOrder.region(share.memory);
      const at = COLUMN_BYTES * (hash53(share.scope) % COLUMNS);
      this.#turn = new BigInt64Array(memory, at, 1);
      this.#turns = new Float64Array(memory, at + COUNTER_BYTES, SHARED_SLOTS);
    } else {
      this.#turn = new BigInt64Array(1);
      this.#turns = new Float64Array(16);
    }
  }

  /** Control makes it before request threads begin. */
  static region(memory: ThreadMemory): ArrayBufferLike {
    return memory.region('policies:cold-turns', COLUMNS * COLUMN_BYTES);
  }

  observe(event: PolicyEvent): void {
    if (event.type === 'left') {
      // Threads hear of it one after the other; the next worker in the slot may lose its turn by that, and is given one more.
      if (event.slot < this.#turns.length) this.#turns[event.slot] = 0;
      return;
    }
    // A shared system prompt makes nearly every prompt a little warm: what counts is that most of it was not cached.
    const warm = event.matchedTokens > 0 && 2 * event.matchedTokens > event.ask.blocks().totalTokens;
    if (warm) return;
    this.column(event.slot + 1)[event.slot] = Number(Atomics.add(this.#turn, 0, 1n)) + 1;
  }

  /** The turns by slot, of at least so many slots. */
  column(slots: number): Float64Array {
    if (slots > this.#turns.length) {
      const longer = new Float64Array(2 * slots);
      longer.set(this.#turns);
      this.#turns = longer;
    }
    return this.#turns;
  }

  /** The lower, the longer ago; 0 for never. */
  turnOf(slot: number): number {
    return this.#turns[slot] ?? 0;
  }
}
