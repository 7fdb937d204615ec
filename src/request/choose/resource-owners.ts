import { LRUCache } from 'lru-cache';

export interface Owner {
  readonly worker: string;
  /** Whose key it was made with; undefined where that is not known, or nobody's. */
  readonly tenant: string | undefined;
}

/**
 * Which worker made a stored resource, and for whom. vLLM keeps responses in the memory of the server process that made
 * them, so reading, cancelling or continuing one only works there. Bounded: the least recently used ids are forgotten,
 * and an id that is not known is asked for at every worker.
 */
export class ResourceOwners {
  readonly #owners = new LRUCache<string, Owner>({ max: 100_000 });

  /** Made by this worker for this tenant. What another tenant owns stays that one's: clients may choose ids. */
  created(resourceId: string, worker: string, tenant: string | undefined): void {
    const owner = this.tenantOf(resourceId);
    if (owner !== undefined && owner !== tenant) return;
    this.#owners.set(resourceId, { worker, tenant });
  }

  /** Found at this worker. Whoever found it does not own it thereby. */
  found(resourceId: string, worker: string): void {
    this.#owners.set(resourceId, { worker, tenant: this.#owners.get(resourceId)?.tenant });
  }

  /**
   * Where other threads may know of the resource what this one does not: they have been asked when it resolves, and what they know
   * is known here. Never rejects.
   */
  lookUp(_resourceId: string): Promise<void> | undefined {
    return undefined;
  }

  ownerOf(resourceId: string): string | undefined {
    return this.#owners.get(resourceId)?.worker;
  }

  tenantOf(resourceId: string): string | undefined {
    return this.#owners.get(resourceId)?.tenant;
  }

  get size(): number {
    return this.#owners.size;
  }

  protected known(resourceId: string): Owner | undefined {
    return this.#owners.get(resourceId);
  }

  protected set(resourceId: string, owner: Owner): void {
    this.#owners.set(resourceId, owner);
  }
}
