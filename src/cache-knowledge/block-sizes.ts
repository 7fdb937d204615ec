import type { Roster } from '../workers/roster.ts';

/** Tokens of a block of each worker, by slot, as engines say of themselves. */
export class BlockSizes {
  readonly #bySlot: number[] = [];

  constructor(registry: Roster) {
    for (const { slot, cacheConfig } of registry.workers) this.#bySlot[slot] = cacheConfig?.blockSize ?? 0;
    registry.on(({ type, worker }) => {
      if (type === 'joined' || type === 'facts')
        this.#bySlot[worker.slot] = worker.cacheConfig?.blockSize ?? 0;
      else if (type === 'left') this.#bySlot[worker.slot] = 0;
    });
  }

  /** 0 where it is not known. */
  of(slot: number): number {
    return this.#bySlot[slot] ?? 0;
  }
}
