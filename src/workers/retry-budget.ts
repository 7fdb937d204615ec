import type { Clock } from '../base/clock.ts';
import { ownMemory, type ThreadMemory } from '../base/thread-memory.ts';

const BUCKET_MS = 1000;
const BUCKETS = 10;

/** A bucket: the second it is of, and what was counted in it. */
const SECOND = 0;
const REQUESTS = 1;
const RETRIES = 2;
const WORDS = 3;
const ROW = BUCKETS * WORDS;

/**
 * Keeps retries from doubling an outage: over the last 10 s at most `floor` retries, or `ratio` of the requests that
 * came in that time, whichever is more, in all threads together. Slides in buckets of 1 s, of which each thread has its own.
 */
export class RetryBudget {
  readonly #clock: Clock;
  readonly #words: Int32Array;
  readonly #own: number;
  #ratio: number;
  #floor: number;

  constructor(
    clock: Clock,
    settings: { readonly ratio: number; readonly floor: number },
    memory: ThreadMemory = ownMemory(),
  ) {
    this.#clock = clock;
    this.#ratio = settings.ratio;
    this.#floor = settings.floor;
    this.#words = new Int32Array(memory.region('retries', 4 * ROW * memory.rows));
    this.#own = ROW * memory.self;
  }

  /** Other limits for the same window: what was counted in it stays. */
  reconfigure(settings: { readonly ratio: number; readonly floor: number }): void {
    this.#ratio = settings.ratio;
    this.#floor = settings.floor;
  }

  /** Called once per request, not per attempt. */
  onRequest(): void {
    const at = this.#bucket(this.#secondNow()) + REQUESTS;
    this.#words[at] = (this.#words[at] ?? 0) + 1;
  }

  /** Takes one retry from the budget; false when there is none left. */
  tryRetry(): boolean {
    const second = this.#secondNow();
    const at = this.#bucket(second) + RETRIES;
    // Counted before it is looked whether it may be: of two threads that want the last one both may be refused, but never both get it.
    Atomics.add(this.#words, at, 1);
    if (this.#sum(RETRIES, second) <= Math.max(this.#floor, this.#ratio * this.#sum(REQUESTS, second)))
      return true;
    Atomics.sub(this.#words, at, 1);
    return false;
  }

  #secondNow(): number {
    return Math.floor(this.#clock.now() / BUCKET_MS);
  }

  /** Where this thread counts in this second. Emptied first where it is of one that has left the window. */
  #bucket(second: number): number {
    const words = this.#words;
    const at = this.#own + (second % BUCKETS) * WORDS;
    if (words[at + SECOND] !== second) {
      Atomics.store(words, at + REQUESTS, 0);
      Atomics.store(words, at + RETRIES, 0);
      Atomics.store(words, at + SECOND, second);
    }
    return at;
  }

  #sum(count: typeof REQUESTS | typeof RETRIES, second: number): number {
    let sum = 0;
    for (let at = 0; at < this.#words.length; at += WORDS) {
      const age = second - Atomics.load(this.#words, at + SECOND);
      if (age >= 0 && age < BUCKETS) sum += Atomics.load(this.#words, at + count);
    }
    return sum;
  }
}
