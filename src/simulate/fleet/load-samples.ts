/** Requests on each worker, waiting there or running, at equal distances in time. */
export interface LoadSamples {
  readonly workers: number;
  readonly intervalMs: number;
  /** Number of moments; the first is one interval after the start. */
  readonly count: number;
  /** `count` rows of one number per worker. */
  readonly requests: Uint16Array;
}

/** Moments that a run of the expected length gets. */
const MOMENTS = 200;
const MOST_MOMENTS = 2 * MOMENTS;
const LEAST_INTERVAL_MS = 1;
const MOST_REQUESTS = 0xffff;

/** Looks at a fleet in intervals that double, and forgets every second moment, when a run takes longer than expected. */
export class LoadSampler {
  readonly #workers: number;
  #intervalMs: number;
  #count = 0;
  readonly #requests: Uint16Array;

  constructor(workers: number, expectedMs: number) {
    this.#workers = workers;
    this.#intervalMs = Math.max(LEAST_INTERVAL_MS, expectedMs / MOMENTS);
    this.#requests = new Uint16Array(workers * MOST_MOMENTS);
  }

  /** From one moment to the next; read it anew after each. */
  get intervalMs(): number {
    return this.#intervalMs;
  }

  take(requestsOn: (worker: number) => number): void {
    const from = this.#count * this.#workers;
    for (let worker = 0; worker < this.#workers; worker += 1)
      this.#requests[from + worker] = Math.min(MOST_REQUESTS, requestsOn(worker));
    this.#count += 1;
    // The next moment, one interval from here, is the first that no longer fits.
    if (this.#count === MOST_MOMENTS) this.#halve();
  }

  samples(): LoadSamples {
    return {
      workers: this.#workers,
      intervalMs: this.#intervalMs,
      count: this.#count,
      requests: this.#requests.slice(0, this.#count * this.#workers),
    };
  }

  /** Keeps the second of every two moments: the first of those is then one new interval after the start. */
  #halve(): void {
    for (let kept = 0; kept < this.#count / 2; kept += 1) {
      const from = (2 * kept + 1) * this.#workers;
      this.#requests.copyWithin(kept * this.#workers, from, from + this.#workers);
    }
    this.#count = Math.floor(this.#count / 2);
    this.#intervalMs *= 2;
  }
}
