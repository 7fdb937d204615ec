import type { Clock } from './clock.ts';

const TOO_MANY = 3;
/**
 * What the code measured can do nothing about (a pause of the garbage collector, a process that the system lets wait) must
 * not add up to a verdict, however long it runs and however often it is called.
 */
const WINDOW_MS = 60_000;
const WINDOW_CALLS = 300;

interface Overrun {
  readonly at: number;
  readonly call: number;
}

/** How often something that must return at once did not, of late. */
export class Overruns {
  readonly #limitMs: number;
  readonly #clock: Clock;
  #calls = 0;
  #recent: Overrun[] = [];

  constructor(limitMs: number, clock: Clock) {
    this.#limitMs = limitMs;
    this.#clock = clock;
  }

  /** What began at `startedAt` has ended. How long it took, ms, where that is too long. */
  note(startedAt: number): number | undefined {
    const now = this.#clock.now();
    const took = now - startedAt;
    const call = ++this.#calls;
    if (took <= this.#limitMs) return undefined;
    const recent = this.#recent.filter((one) => now - one.at < WINDOW_MS && call - one.call < WINDOW_CALLS);
    this.#recent = [...recent, { at: now, call }].slice(-TOO_MANY);
    return took;
  }

  /** Whether the overrun noted last was the third within a minute and 300 calls. */
  get tooMany(): boolean {
    return this.#recent.length >= TOO_MANY;
  }
}
