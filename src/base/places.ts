import type { ThreadMemory } from './thread-memory.ts';

const COUNT = 0;
const LIMIT = 1;
const FIRST_ROW = 2;
/** Stands for no limit. */
const MOST = 2 ** 31 - 1;

/**
 * Places of which there are so many for all threads of a router together, and never more are taken.
 *
 * It is written down how many each thread has, so that those of one that has died can be taken back: what it took and gave by
 * itself in a word that it alone writes, what control did for it in another. A thread can be ended where a call of `Atomics`
 * begins, and nowhere in what stands between two of them; so its word follows the count without any, and always tells the truth.
 */
export class Places {
  readonly #words: Int32Array;
  readonly #self: number;
  /** Where this thread's word is. */
  readonly #own: number;
  /** Where those are that control writes. */
  readonly #handed: number;

  /** @param limit Counts where row 0 says it; the other threads keep to that. */
  constructor(memory: ThreadMemory, region: string, limit: number) {
    this.#words = new Int32Array(memory.region(region, 4 * (FIRST_ROW + 2 * memory.rows)));
    this.#self = memory.self;
    this.#own = FIRST_ROW + memory.self;
    this.#handed = FIRST_ROW + memory.rows;
    this.reconfigure(limit);
  }

  /** Taken, by all threads. */
  get count(): number {
    return Atomics.load(this.#words, COUNT);
  }

  get limit(): number {
    const limit = Atomics.load(this.#words, LIMIT);
    return limit === MOST ? Infinity : limit;
  }

  get full(): boolean {
    return this.count >= Atomics.load(this.#words, LIMIT);
  }

  /** Whoever has a place above the new limit keeps it. */
  reconfigure(limit: number): void {
    if (this.#self === 0) Atomics.store(this.#words, LIMIT, Math.min(limit, MOST));
  }

  /** False where there is none. */
  take(): boolean {
    const words = this.#words;
    const own = this.#own;
    for (;;) {
      const count = Atomics.load(words, COUNT);
      if (count >= Atomics.load(words, LIMIT)) return false;
      if (Atomics.compareExchange(words, COUNT, count, count + 1) !== count) continue;
      words[own] = (words[own] ?? 0) + 1;
      return true;
    }
  }

  /** Also where there is none: for what takes the place of something that is about to give up its own. */
  takeAnyway(): void {
    const words = this.#words;
    const own = this.#own;
    Atomics.add(words, COUNT, 1);
    words[own] = (words[own] ?? 0) + 1;
  }

  /** Gives back one of this thread's. */
  give(): void {
    const words = this.#words;
    const own = this.#own;
    Atomics.sub(words, COUNT, 1);
    words[own] = (words[own] ?? 0) - 1;
  }

  /** Control's: one that it has taken is that thread's from now on. */
  handTo(row: number): void {
    this.#add(this.#own, -1);
    this.#add(this.#handed + row, 1);
  }

  /** Control's: gives back one for that thread, whichever way that had it. */
  giveFor(row: number): void {
    Atomics.sub(this.#words, COUNT, 1);
    this.#add(this.#handed + row, -1);
  }

  /** Control's: takes back what a thread had when it died. */
  reclaim(row: number): void {
    const words = this.#words;
    const [own, handed] = [FIRST_ROW + row, this.#handed + row];
    Atomics.sub(words, COUNT, (words[own] ?? 0) + (words[handed] ?? 0));
    words[own] = 0;
    words[handed] = 0;
  }

  #add(at: number, change: number): void {
    this.#words[at] = (this.#words[at] ?? 0) + change;
  }
}
