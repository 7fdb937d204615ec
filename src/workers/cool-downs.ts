import type { ThreadMemory } from '../base/thread-memory.ts';
import { SHARED_SLOTS } from './ledger-columns.ts';
import type { SlotId } from './ledger-slots.ts';

/**
 * Until when providers want to be left alone, as they said: no matter of their health, so that no breaker knows of it. All
 * threads of a router write and read the same: of two that do so at once the later word may be lost, until the next refusal.
 */
export class CoolDowns {
  /** Monotonic ms, by slot. */
  readonly #until: Float64Array;
  readonly #generations: Int32Array;
  /** The status that it was said with. */
  readonly #statuses: Int32Array;

  constructor(memory: ThreadMemory) {
    this.#until = new Float64Array(memory.region('cool-downs:until', 8 * SHARED_SLOTS));
    this.#generations = new Int32Array(memory.region('cool-downs:generations', 4 * SHARED_SLOTS));
    this.#statuses = new Int32Array(memory.region('cool-downs:statuses', 4 * SHARED_SLOTS));
  }

  /** A slot beyond the last one has none: no fleet is that large. */
  begin({ slot, generation }: SlotId, untilMs: number, status: number): void {
    if (slot >= SHARED_SLOTS || (this.#of(slot, generation) ?? -Infinity) >= untilMs) return;
    this.#until[slot] = untilMs;
    this.#statuses[slot] = status;
    this.#generations[slot] = generation;
  }

  /** 0 = it may be asked. */
  leftMs({ slot, generation }: SlotId, now: number): number {
    return Math.max(0, (this.#of(slot, generation) ?? now) - now);
  }

  /** What it said; undefined where it rests no more. */
  statusOf(at: SlotId, now: number): number | undefined {
    return this.leftMs(at, now) > 0 ? this.#statuses[at.slot] : undefined;
  }

  #of(slot: number, generation: number): number | undefined {
    return this.#generations[slot] === generation ? this.#until[slot] : undefined;
  }
}
