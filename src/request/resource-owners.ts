import { LRUCache } from 'lru-cache';

/**
 * Which worker made a stored resource. vLLM keeps responses in the memory of the server process that made them, so
 * reading, cancelling or continuing one only works there. Bounded: the least recently used ids are forgotten, and an
 * id that is not known is asked for at every worker.
 */
export class ResourceOwners {
  readonly #owners = new LRUCache<string, string>({ max: 100_000 });

  remember(resourceId: string, workerId: string): void {
    this.#owners.set(resourceId, workerId);
  }

  ownerOf(resourceId: string): string | undefined {
    return this.#owners.get(resourceId);
  }

  get size(): number {
    return this.#owners.size;
  }
}
