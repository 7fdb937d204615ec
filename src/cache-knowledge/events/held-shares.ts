/** Somebody who holds bytes of a common room. */
export interface Holder {
  readonly bytes: number;
  /** Lets go of all that it holds, and calls `give` for it. */
  giveUp(): void;
}

/**
 * Bytes that several may hold together. Where there is no room left, whoever holds the most gives way, so that a publisher that sends
 * without end takes the room of nobody but its like.
 */
export class HeldShares {
  readonly #max: number;
  /** Those that hold anything. */
  readonly #holders = new Set<Holder>();
  #used = 0;

  constructor(maxBytes: number) {
    this.#max = maxBytes;
  }

  get used(): number {
    return this.#used;
  }

  /** @returns false where `holder` itself is the one that holds the most; nothing is taken then. */
  take(holder: Holder, bytes: number): boolean {
    while (this.#used + bytes > this.#max) {
      const largest = this.#largestBut(holder);
      if (!largest || largest.bytes <= holder.bytes + bytes) return false;
      largest.giveUp();
    }
    this.#used += bytes;
    this.#holders.add(holder);
    return true;
  }

  /** @param holder without these bytes already. */
  give(holder: Holder, bytes: number): void {
    this.#used -= bytes;
    if (holder.bytes === 0) this.#holders.delete(holder);
  }

  #largestBut(holder: Holder): Holder | undefined {
    let largest: Holder | undefined;
    for (const one of this.#holders) if (one !== holder && one.bytes > (largest?.bytes ?? 0)) largest = one;
    return largest;
  }
}
