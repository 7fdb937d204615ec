import type { Clock } from '../base/clock.ts';

/** When a request last failed on each worker: what was sent there before may never have been computed. */
export class FailedSends {
  readonly #clock: Clock;
  /** By slot, ms of the clock. */
  readonly #failedAt: number[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  note(slot: number): void {
    this.#failedAt[slot] = this.#clock.now();
  }

  /** How long ago that was, ms; Infinity where there was none. */
  since(slot: number): number {
    const failedAt = this.#failedAt[slot];
    return failedAt === undefined ? Infinity : this.#clock.now() - failedAt;
  }
}
