import type { Clock } from '../base/clock.ts';

/**
 * As many admissions as a rate allows: a bucket of a second's worth, at least one, that starts full and refills
 * continuously. Without a rate it is never empty.
 */
export class RateBucket {
  readonly #clock: Clock;
  #ratePerSecond: number | undefined;
  #capacity: number;
  #level: number;
  #refilledAt: number;

  constructor(ratePerSecond: number | undefined, clock: Clock) {
    this.#clock = clock;
    this.#ratePerSecond = ratePerSecond;
    this.#capacity = capacityOf(ratePerSecond);
    this.#level = this.#capacity;
    this.#refilledAt = clock.now();
  }

  /** Another rate from now on. What is in the bucket stays, as far as it fits; from no rate to one it is full. */
  reconfigure(ratePerSecond: number | undefined): void {
    this.#refill();
    this.#capacity = capacityOf(ratePerSecond);
    if (this.#ratePerSecond === undefined) this.#level = this.#capacity;
    this.#ratePerSecond = ratePerSecond;
    this.#refilledAt = this.#clock.now();
  }

  get ready(): boolean {
    return this.#ratePerSecond === undefined || this.#refill() >= 1;
  }

  take(): void {
    if (this.#ratePerSecond !== undefined) this.#level -= 1;
  }

  /** Time until it has taken in enough for the `nth` request from now, ms. */
  msUntil(nth: number): number {
    if (this.#ratePerSecond === undefined) return 0;
    return (Math.max(0, nth - this.#refill()) / this.#ratePerSecond) * 1000;
  }

  #refill(): number {
    if (this.#ratePerSecond === undefined) return this.#level;
    const now = this.#clock.now();
    const gained = ((now - this.#refilledAt) / 1000) * this.#ratePerSecond;
    this.#level = Math.min(this.#capacity, this.#level + gained);
    this.#refilledAt = now;
    return this.#level;
  }
}

function capacityOf(ratePerSecond: number | undefined): number {
  return Math.max(1, ratePerSecond ?? 1);
}
