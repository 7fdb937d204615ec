import type { Roster } from '../workers/roster.ts';
import type { Worker } from '../workers/worker.ts';

/** How many tokens the cache of each worker has room for, by slot, as engines say of themselves. */
export class CacheCapacities {
  readonly #bySlot: number[] = [];

  constructor(registry: Roster) {
    for (const worker of registry.workers) this.#note(worker);
    registry.on(({ type, worker }) => {
      if (type === 'joined' || type === 'facts') this.#note(worker);
      else if (type === 'left') this.#bySlot[worker.slot] = Infinity;
    });
  }

  /** Infinity where it is not known. */
  of(slot: number): number {
    return this.#bySlot[slot] ?? Infinity;
  }

  #note({ slot, cacheConfig }: Worker): void {
    const { blocks, blockSize } = cacheConfig ?? {};
    this.#bySlot[slot] = blocks === undefined || blockSize === undefined ? Infinity : blocks * blockSize;
  }
}
