import type { IncomingKv, Sequence } from './sequence.ts';

/** Sequences that hold blocks without being in the batch: theirs are still to be filled by another engine, or read by one. */
export class Transfers {
  readonly #fetching = new Set<Sequence>();
  readonly #kept = new Set<Sequence>();

  /** How many wait for keys and values. */
  get fetching(): number {
    return this.#fetching.size;
  }

  /** How many are done and keep their blocks. */
  get kept(): number {
    return this.#kept.size;
  }

  /** `settled` comes once, with how many prompt tokens have come: 0 is none; never after `leave`. */
  fetch(sequence: Sequence, incoming: IncomingKv, settled: (tokens: number) => void): void {
    const tokens = sequence.ask.promptTokens - sequence.computed;
    sequence.state = 'fetching';
    sequence.incoming = undefined;
    this.#fetching.add(sequence);
    incoming.fetch(tokens, (arrived) => {
      if (this.#fetching.delete(sequence)) settled(arrived ? tokens : 0);
    });
  }

  leave(sequence: Sequence): void {
    this.#fetching.delete(sequence);
  }

  keep(sequence: Sequence): void {
    this.#kept.add(sequence);
  }

  /** @returns whether they were kept. */
  giveBack(sequence: Sequence): boolean {
    return this.#kept.delete(sequence);
  }

  sequences(): { readonly fetching: readonly Sequence[]; readonly kept: readonly Sequence[] } {
    return { fetching: [...this.#fetching], kept: [...this.#kept] };
  }
}
