import type { Clock } from './clock.ts';
import { hash53 } from './hash.ts';
import type { ThreadMemory } from './thread-memory.ts';

const TOO_MANY = 3;
/**
 * What the code measured can do nothing about (a pause of the garbage collector, a process that the system lets wait) must
 * not add up to a verdict, however long it runs and however often it is called.
 */
const WINDOW_MS = 60_000;
const WINDOW_CALLS = 300;

/** Whose the cells are, calls so far, overruns so far, whether they were too many; then time, ms, and call of each of the last ones. */
const CELLS = 4 + 2 * TOO_MANY;
const [WHOSE, CALLS, COUNT, OVER, LAST] = [0, 1, 2, 3, 4] as const;

/** How often something that must return at once did not, of late: in this thread, or in all that have the same cells. */
export class Overruns {
  readonly #limitMs: number;
  readonly #clock: Clock;
  readonly #cells: Int32Array;

  constructor(limitMs: number, clock: Clock, cells: Int32Array = new Int32Array(CELLS)) {
    this.#limitMs = limitMs;
    this.#clock = clock;
    this.#cells = cells;
  }

  /** What began at `startedAt` has ended. How long it took, ms, where that is too long. */
  note(startedAt: number): number | undefined {
    const now = this.#clock.now();
    const took = now - startedAt;
    const call = Atomics.add(this.#cells, CALLS, 1) + 1;
    if (took <= this.#limitMs) return undefined;
    // Two threads never have the same place, so none waits for another.
    const place = LAST + 2 * ((Atomics.add(this.#cells, COUNT, 1) >>> 0) % TOO_MANY);
    Atomics.store(this.#cells, place, Math.trunc(now));
    Atomics.store(this.#cells, place + 1, call);
    if (this.#areClose(Math.trunc(now), call)) Atomics.store(this.#cells, OVER, 1);
    return took;
  }

  /** Whether there were three within a minute and 300 calls, ever. */
  get tooMany(): boolean {
    return Atomics.load(this.#cells, OVER) === 1;
  }

  /** Differences are right also where the numbers have begun again. */
  #areClose(now: number, call: number): boolean {
    if (Atomics.load(this.#cells, COUNT) >>> 0 < TOO_MANY) return false;
    for (let place = LAST; place < CELLS; place += 2) {
      if (((now - Atomics.load(this.#cells, place)) | 0) >= WINDOW_MS) return false;
      if (((call - Atomics.load(this.#cells, place + 1)) | 0) >= WINDOW_CALLS) return false;
    }
    return true;
  }
}

/** Plugins in all their configurations since the start. */
const MOST = 256;
const REGION = 'overruns';

/** Cells for `Overruns` by a name, the same for the same name in all threads. They stay for good. */
export class OverrunCells {
  readonly #cells: Int32Array;

  constructor(memory: ThreadMemory) {
    this.#cells = new Int32Array(memory.region(REGION, MOST * CELLS * Int32Array.BYTES_PER_ELEMENT));
  }

  /** Undefined where there are too many names: whoever asks counts for itself then. */
  of(name: string): Int32Array | undefined {
    const hash = hash53(name);
    const whose = (hash % 0x7fffffff) | 1;
    for (let tries = 0; tries < MOST; tries++) {
      const from = CELLS * ((hash + tries) % MOST);
      const before = Atomics.compareExchange(this.#cells, from + WHOSE, 0, whose);
      if (before === 0 || before === whose) return this.#cells.subarray(from, from + CELLS);
    }
    return undefined;
  }
}
