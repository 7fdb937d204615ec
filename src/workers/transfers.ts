import type { SlotId } from './ledger.ts';

/** How many transfers of KV blocks go on from one worker to another, as far as this thread has caused them. */
export class Transfers {
  /** By both slots. */
  readonly #under = new Map<string, number>();

  between(from: SlotId, to: SlotId): number {
    return this.#under.get(pairKey(from, to)) ?? 0;
  }

  get size(): number {
    return this.#under.size;
  }

  /** Returns what ends it; only the first call does. */
  begin(from: SlotId, to: SlotId): () => void {
    const pair = pairKey(from, to);
    this.#under.set(pair, (this.#under.get(pair) ?? 0) + 1);
    let isOver = false;
    return () => {
      if (isOver) return;
      isOver = true;
      const left = (this.#under.get(pair) ?? 0) - 1;
      if (left > 0) this.#under.set(pair, left);
      else this.#under.delete(pair);
    };
  }
}

/** Of both workers, as long as they are there. */
export function pairKey(from: SlotId, to: SlotId): string {
  return `${from.slot}.${from.generation}>${to.slot}.${to.generation}`;
}
