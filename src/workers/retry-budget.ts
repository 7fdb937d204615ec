import type { Clock } from '../base/clock.ts';

const BUCKET_MS = 1000;
const BUCKETS = 10;

/**
 * Keeps retries from doubling an outage: over the last 10 s at most `floor` retries, or `ratio` of the requests that
 * came in that time, whichever is more. Slides in buckets of 1 s.
 */
export class RetryBudget {
  readonly #clock: Clock;
  #ratio: number;
  #floor: number;
  readonly #requests = new Float64Array(BUCKETS);
  readonly #retries = new Float64Array(BUCKETS);
  #requestSum = 0;
  #retrySum = 0;
  #second: number;

  constructor(clock: Clock, settings: { readonly ratio: number; readonly floor: number }) {
    this.#clock = clock;
    this.#ratio = settings.ratio;
    this.#floor = settings.floor;
    this.#second = Math.floor(clock.now() / BUCKET_MS);
  }

  /** Other limits for the same window: what was counted in it stays. */
  reconfigure(settings: { readonly ratio: number; readonly floor: number }): void {
    this.#ratio = settings.ratio;
    this.#floor = settings.floor;
  }

  /** Called once per request, not per attempt. */
  onRequest(): void {
    const bucket = this.#current();
    this.#requests[bucket] = (this.#requests[bucket] ?? 0) + 1;
    this.#requestSum += 1;
  }

  /** Takes one retry from the budget; false when there is none left. */
  tryRetry(): boolean {
    const bucket = this.#current();
    if (this.#retrySum + 1 > Math.max(this.#floor, this.#ratio * this.#requestSum)) return false;
    this.#retries[bucket] = (this.#retries[bucket] ?? 0) + 1;
    this.#retrySum += 1;
    return true;
  }

  /** Index of the bucket of this second, the ones that have left the window emptied. */
  #current(): number {
    const second = Math.floor(this.#clock.now() / BUCKET_MS);
    const passed = Math.min(second - this.#second, BUCKETS);
    for (let step = 1; step <= passed; step++) {
      const bucket = (this.#second + step) % BUCKETS;
      this.#requestSum -= this.#requests[bucket] ?? 0;
      this.#retrySum -= this.#retries[bucket] ?? 0;
      this.#requests[bucket] = 0;
      this.#retries[bucket] = 0;
    }
    this.#second = second;
    return second % BUCKETS;
  }
}
