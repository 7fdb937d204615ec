import type { Clock } from './clock.ts';

const TOO_MANY = 3;
/** A pause of the garbage collector now and then must not add up to a verdict over weeks. */
const WINDOW_MS = 60_000;

/** How often something that must return at once did not, of late. */
export class Overruns {
  readonly #limitMs: number;
  readonly #clock: Clock;
  #recent: number[] = [];

  constructor(limitMs: number, clock: Clock) {
    this.#limitMs = limitMs;
    this.#clock = clock;
  }

  /** What began at `startedAt` has ended. How long it took, ms, where that is too long. */
  note(startedAt: number): number | undefined {
    const now = this.#clock.now();
    const took = now - startedAt;
    if (took <= this.#limitMs) return undefined;
    this.#recent = [...this.#recent.filter((at) => now - at < WINDOW_MS), now].slice(-TOO_MANY);
    return took;
  }

  /** True from the third overrun within a minute on, until one has been forgotten. */
  get tooMany(): boolean {
    return this.#recent.length >= TOO_MANY;
  }
}
