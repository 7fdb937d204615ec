import type { PolicyEvent } from './policy.ts';

/**
 * Remembers which workers were given a cold prompt, and in which order. Ties between workers go to the one that was
 * given one longest ago, so that at low load, where ties decide everything, the caches of all workers fill evenly
 * instead of the first one's.
 */
export class ColdOrder {
  #turn = 0;
  /** By slot: the turn of its last cold prompt, 0 for never. */
  #turns = new Float64Array(16);

  observe(event: PolicyEvent): void {
    if (event.type === 'left') {
      if (event.slot < this.#turns.length) this.#turns[event.slot] = 0;
      return;
    }
    // A shared system prompt makes nearly every prompt a little warm: what counts is that most of it was not cached.
    const warm = event.matchedTokens > 0 && 2 * event.matchedTokens > event.ask.blocks().totalTokens;
    if (warm) return;
    this.column(event.slot + 1)[event.slot] = ++this.#turn;
  }

  /** The turns by slot, of at least so many slots. */
  column(slots: number): Float64Array {
    if (slots > this.#turns.length) {
      const longer = new Float64Array(2 * slots);
      longer.set(this.#turns);
      this.#turns = longer;
    }
    return this.#turns;
  }

  /** The lower, the longer ago; 0 for never. */
  turnOf(slot: number): number {
    return this.#turns[slot] ?? 0;
  }
}
