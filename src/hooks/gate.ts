/** At most so many at once; the rest wait in the order they came. */
export class Gate {
  #places: number;
  #inside = 0;
  #admitting = false;
  readonly #waiting = new Set<() => void>();

  constructor(places: number) {
    this.#places = places;
  }

  /** Another number of places. Who is inside stays. */
  reconfigure(places: number): void {
    this.#places = places;
    this.#admit();
  }

  /**
   * Calls `onTurn` when there is a place: before this returns, if there is one now. Returns how to go, before one's turn
   * or after it; idempotent.
   */
  enter(onTurn: () => void): () => void {
    let state: 'waiting' | 'inside' | 'gone' = 'waiting';
    const turn = (): void => {
      state = 'inside';
      this.#inside += 1;
      onTurn();
    };
    if (this.#waiting.size === 0 && this.#inside < this.#places) turn();
    else this.#waiting.add(turn);
    return () => {
      if (state === 'gone') return;
      const wasInside = state === 'inside';
      state = 'gone';
      if (!wasInside) this.#waiting.delete(turn);
      else {
        this.#inside -= 1;
        this.#admit();
      }
    };
  }

  /** In a loop: those that go as soon as they have come would otherwise nest as deep as the line is long. */
  #admit(): void {
    if (this.#admitting) return;
    this.#admitting = true;
    for (const turn of this.#waiting) {
      if (this.#inside >= this.#places) break;
      this.#waiting.delete(turn);
      turn();
    }
    this.#admitting = false;
  }
}
