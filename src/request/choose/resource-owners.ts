import { LRUCache } from 'lru-cache';

export interface Owner {
  readonly worker: string;
  /** Whose key it was made with; undefined where that is not known, or nobody's. */
  readonly tenant: string | undefined;
}

/** Where other routers have noted who owns what. */
export interface OwnersElsewhere {
  /** Undefined also where it is not known in time. Never rejects. */
  find(resourceId: string): Promise<Owner | undefined>;
  note(resourceId: string, owner: Owner): void;
}

/**
 * Which worker made a stored resource, and for whom. vLLM keeps responses in the memory of the server process that made
 * them, so reading, cancelling or continuing one only works there. Bounded: the least recently used ids are forgotten,
 * and an id that is not known is asked for at every worker.
 */
export class ResourceOwners {
  readonly #owners = new LRUCache<string, Owner>({ max: 100_000 });
  /** Of routers that share what they know; asked and told by whoever is in control. */
  readonly #elsewhere: () => OwnersElsewhere | undefined;

  constructor(elsewhere: () => OwnersElsewhere | undefined = () => undefined) {
    this.#elsewhere = elsewhere;
  }

  /** Made by this worker for this tenant. What another tenant owns stays that one's: clients may choose ids. */
  created(resourceId: string, worker: string, tenant: string | undefined): void {
    const owner = this.tenantOf(resourceId);
    if (owner !== undefined && owner !== tenant) return;
    this.#owners.set(resourceId, { worker, tenant });
    this.#elsewhere()?.note(resourceId, { worker, tenant });
  }

  /** Found at this worker. Whoever found it does not own it thereby. */
  found(resourceId: string, worker: string): void {
    const known = this.#owners.get(resourceId);
    const owner = { worker, tenant: known?.tenant };
    this.#owners.set(resourceId, owner);
    if (known?.worker !== worker) this.#elsewhere()?.note(resourceId, owner);
  }

  /**
   * Where other threads or routers may know of the resource what this one does not: they have been asked when it resolves, and what they
   * know is known here. Never rejects.
   */
  lookUp(resourceId: string): Promise<void> | undefined {
    if (this.known(resourceId) || !this.#elsewhere()) return undefined;
    return this.askElsewhere(resourceId).then(() => undefined);
  }

  protected async askElsewhere(resourceId: string): Promise<Owner | undefined> {
    const owner = await this.#elsewhere()?.find(resourceId);
    if (owner && !this.known(resourceId)) this.set(resourceId, owner);
    return this.known(resourceId);
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
