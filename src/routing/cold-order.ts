import type { PolicyEvent } from './policy.ts';

/**
 * Remembers which workers were given a cold prompt, and in which order. Ties between workers go to the one that was
 * given one longest ago, so that at low load, where ties decide everything, the caches of all workers fill evenly
 * instead of the first one's.
 */
export class ColdOrder {
  #turn = 0;
  /** By slot: the turn of its last cold prompt, 0 for never. */
  readonly #turns: number[] = [];

  observe(event: PolicyEvent): void {
    if (event.type === 'left') {
      if (event.slot < this.#turns.length) this.#turns[event.slot] = 0;
      return;
    }
    // A shared system prompt makes nearly every prompt a little warm: what counts is that most of it was not cached.
    const warm = event.matchedTokens > 0 && 2 * event.matchedTokens > event.ask.blocks().totalTokens;
    if (warm) return;
    while (this.#turns.length <= event.slot) this.#turns.push(0);
    this.#turns[event.slot] = ++this.#turn;
  }

  /** The lower, the longer ago; 0 for never. */
  turnOf(slot: number): number {
    return this.#turns[slot] ?? 0;
  }
}
