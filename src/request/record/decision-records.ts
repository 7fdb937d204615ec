import type { Decision, DecisionQuery } from './decision.ts';
import type { DecisionRing } from './decision-ring.ts';

/** The latest decision records of all threads, for whoever looks at the process. */
export class DecisionRecords {
  readonly #ring: DecisionRing;
  /** The records that a query means, oldest first. */
  readonly find: (query: DecisionQuery) => Promise<readonly Decision[]>;

  /** @param ring Any thread's: what all of them hold is counted in memory that they share. */
  constructor(ring: DecisionRing, find: DecisionRecords['find']) {
    this.#ring = ring;
    this.find = find;
  }

  get size(): number {
    return this.#ring.size;
  }

  get bytes(): number {
    return this.#ring.bytes;
  }

  get total(): number {
    return this.#ring.total;
  }
}
