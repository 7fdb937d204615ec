import type { Sequence } from './sequence.ts';

/** The sequences of which there is something to tell: new tokens, or that they are done. */
export class Untold {
  #sequences: Sequence[] = [];

  add(sequence: Sequence): void {
    this.#sequences.push(sequence);
  }

  /** Whether somebody wants to hear of each token. */
  get isWatched(): boolean {
    return this.#sequences.some(({ ask }) => ask.onTokens !== undefined);
  }

  tell(): void {
    if (this.#sequences.length === 0) return;
    const sequences = this.#sequences;
    this.#sequences = [];
    for (const sequence of sequences) {
      const { fresh, ask } = sequence;
      sequence.fresh = 0;
      // An earlier listener of this round may have aborted it.
      if (sequence.state === 'aborted') continue;
      if (fresh > 0) ask.onTokens?.(fresh);
      if (sequence.state === 'done') ask.onDone(sequence);
    }
  }
}
