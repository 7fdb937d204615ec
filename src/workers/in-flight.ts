/** A request that is being carried out on a worker. */
export interface InFlight {
  /** Ends it on this worker: its time there is up. */
  cut(): void;
  /** Where the list of its worker has it, -1 = in no list. Written by the list alone. */
  place: number;
  /** What the worker's engine is waited for; undefined while its silence would say nothing about it. */
  readonly awaited: Awaited | undefined;
}

/** A request whose answer an engine has to compute. */
export interface Awaited {
  readonly startedAt: number;
  /** Whether its answer comes in pieces. */
  readonly streamed: boolean;
  /** Predicted time to its first token when it was sent; 0 = not known. */
  readonly expectedMs: number;
  /** Of the endpoint. */
  readonly route: string;
  /** As the worker was asked for it; empty where none was named. */
  readonly model: string;
}

/** Those under way in other threads. */
export interface Elsewhere {
  readonly size: number;
  /** Some of them; those that are awaited longest are among them. */
  readonly oldest: Iterable<InFlight>;
  cut(): void;
}

/**
 * Those under way on one worker, in no order. Not a `Set`: one that lives long and through which everything passes grows
 * a chain of outgrown tables, which keeps finished requests alive from one garbage collection to the next. That made
 * every request a tenth dearer.
 */
export class InFlightList implements Iterable<InFlight> {
  readonly #parts: InFlight[] = [];
  readonly #elsewhere: Elsewhere | undefined;

  /** @param elsewhere For who asks about those of all threads. */
  constructor(elsewhere?: Elsewhere) {
    this.#elsewhere = elsewhere;
  }

  get size(): number {
    return this.#parts.length + (this.#elsewhere?.size ?? 0);
  }

  /** `part` may be in one list at a time. */
  add(part: InFlight): void {
    if (part.place < 0) part.place = this.#parts.push(part) - 1;
  }

  /** Does nothing for one that is not in the list. */
  delete(part: InFlight): void {
    const { place } = part;
    if (this.#parts[place] !== part) return;
    const last = this.#parts.pop();
    if (last !== undefined && last !== part) {
      this.#parts[place] = last;
      last.place = place;
    }
    part.place = -1;
  }

  /** Ends them all on this worker. */
  cutAll(): void {
    // One that is cut leaves the list.
    for (const part of [...this.#parts]) part.cut();
    this.#elsewhere?.cut();
  }

  /** Of those in other threads not all. */
  [Symbol.iterator](): Iterator<InFlight> {
    const parts = this.#elsewhere ? [...this.#parts, ...this.#elsewhere.oldest] : this.#parts;
    return parts[Symbol.iterator]();
  }
}
