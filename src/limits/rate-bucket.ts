import type { Clock } from '../base/clock.ts';
import { SharedNumbers } from '../base/shared-numbers.ts';
import { ownMemory, type ThreadMemory } from '../base/thread-memory.ts';
import { Allowance } from './allowance.ts';

/**
 * As many admissions as a rate allows, by all threads together: a bucket of a second's worth, at least one, that starts full and
 * refills continuously. Without a rate it is never empty. Row 0 says the rate.
 */
export class RateBucket {
  readonly #bucket: Allowance;
  /** 0 = none. */
  readonly #rate: SharedNumbers;
  readonly #decides: boolean;

  constructor(ratePerSecond: number | undefined, clock: Clock, memory: ThreadMemory = ownMemory()) {
    this.#decides = memory.self === 0;
    this.#rate = new SharedNumbers(memory.region('admission:rate', 8));
    this.#bucket = new Allowance(clock, capacityOf(ratePerSecond), ratePerSecond ?? 1, {
      ...{ memory, region: 'admission:bucket' },
    });
    if (this.#decides) this.#rate.set(0, ratePerSecond ?? 0);
  }

  /** Another rate from now on. What is in the bucket stays, as far as it fits; from no rate to one it is full. */
  reconfigure(ratePerSecond: number | undefined): void {
    if (!this.#decides) return;
    if (ratePerSecond !== undefined) {
      const capacity = capacityOf(ratePerSecond);
      const level = this.#isOff ? capacity : Math.min(capacity, this.#bucket.left);
      this.#bucket.set(capacity, ratePerSecond, level);
    }
    this.#rate.set(0, ratePerSecond ?? 0);
  }

  get ready(): boolean {
    return this.#isOff || this.#bucket.left >= 1;
  }

  /** False where another thread was faster. */
  take(): boolean {
    return this.#isOff || this.#bucket.take(1);
  }

  /** Time until it has taken in enough for the `nth` request from now, ms. */
  msUntil(nth: number): number {
    const rate = this.#rate.get(0);
    return rate === 0 ? 0 : (Math.max(0, nth - this.#bucket.left) / rate) * 1000;
  }

  get #isOff(): boolean {
    return this.#rate.get(0) === 0;
  }
}

function capacityOf(ratePerSecond: number | undefined): number {
  return Math.max(1, ratePerSecond ?? 1);
}
