import type { Clock, Timer } from '../base/clock.ts';
import type { ThreadMemory } from '../base/thread-memory.ts';

/** How often a thread says that it lives. */
export const BEAT_MS = 250;

/** When each thread last said that it lives, by its row; 0 = it has not begun to. */
export class Heartbeats {
  readonly #at: Float64Array;
  readonly #lagMs: Float64Array;
  readonly #self: number;
  readonly #clock: Clock;

  constructor(memory: ThreadMemory, clock: Clock) {
    this.#at = new Float64Array(memory.region('threads:beats', 8 * memory.rows));
    this.#lagMs = new Float64Array(memory.region('threads:lag', 8 * memory.rows));
    this.#self = memory.self;
    this.#clock = clock;
  }

  /** This thread beats from now on, as long as its event loop turns. */
  begin(): Timer {
    this.#at[this.#self] = this.#clock.now();
    const timer = this.#clock.after(BEAT_MS, () => {
      const now = this.#clock.now();
      const since = now - this.#at[this.#self]!;
      this.#lagMs[this.#self] = Math.max(0, since - BEAT_MS);
      this.#at[this.#self] = now;
      timer.refresh();
    });
    return timer;
  }

  /** How long nothing has been heard of a thread, ms; 0 while it has not begun. */
  silentMs(row: number): number {
    const at = this.#at[row] ?? 0;
    return at === 0 ? 0 : Math.max(0, this.#clock.now() - at);
  }

  /** How late its last beat was, ms: what else was to be done in its event loop took that long. */
  lagMs(row: number): number {
    return this.#lagMs[row] ?? 0;
  }

  /** It has ended. */
  forget(row: number): void {
    this.#at[row] = 0;
    this.#lagMs[row] = 0;
  }
}
