import type { ThreadMemory } from '../base/thread-memory.ts';

const REQUESTS = 0;
const LIMITED = 1;
const TOKENS = 2;
const COUNTS = 3;

/** What has been counted of one tenant: each thread counts in its own row, and goes on where the one before it there had died. */
export class TenantCounts {
  readonly #rows: Float64Array;
  readonly #own: number;

  constructor(memory: ThreadMemory, region: string) {
    this.#rows = new Float64Array(memory.region(region, 8 * COUNTS * memory.rows));
    this.#own = COUNTS * memory.self;
  }

  get requests(): number {
    return this.#sum(REQUESTS);
  }

  get limited(): number {
    return this.#sum(LIMITED);
  }

  get tokens(): number {
    return this.#sum(TOKENS);
  }

  request(): void {
    this.#add(REQUESTS, 1);
  }

  limit(): void {
    this.#add(LIMITED, 1);
  }

  spend(tokens: number): void {
    this.#add(TOKENS, tokens);
  }

  #add(count: number, more: number): void {
    this.#rows[this.#own + count] = (this.#rows[this.#own + count] ?? 0) + more;
  }

  #sum(count: number): number {
    let sum = 0;
    for (let at = count; at < this.#rows.length; at += COUNTS) sum += this.#rows[at] ?? 0;
    return sum;
  }
}
