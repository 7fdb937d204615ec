import type { Ticket } from './door.ts';
import type { Bill } from './fair-queue.ts';

/** The ticket of one request. */
export class PlaceInside implements Ticket {
  readonly #onRelease: () => void;
  #bill: Bill | undefined;
  #held = true;

  constructor(onRelease: () => void, bill?: Bill) {
    this.#onRelease = onRelease;
    this.#bill = bill;
  }

  settle(tokens: number): void {
    const bill = this.#bill;
    this.#bill = undefined;
    bill?.settle(tokens);
  }

  release(): boolean {
    if (!this.#held) return false;
    this.#held = false;
    this.#bill = undefined;
    this.#onRelease();
    return true;
  }
}
