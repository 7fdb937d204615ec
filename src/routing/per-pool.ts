import { LRUCache } from 'lru-cache';
import type { Pool } from './policy.ts';

const MAX_POOLS = 1024;

/** What a structure built on a pool's members must tell. */
export interface Sized {
  readonly bytes: number;
}

interface Built<T> {
  readonly generation: number;
  readonly value: T;
}

/** Structures built once per membership: rebuilt when the pool's generation changes, bounded in pools and bytes. */
export class PerPool<T extends Sized> {
  readonly #build: (pool: Pool, previous: T | undefined) => T;
  readonly #pools: LRUCache<string, Built<T>>;
  /** The pool asked for last is kept whatever its size. */
  #lastKey: string | undefined;
  #last: Built<T> | undefined;

  /** @param build `previous` is what was built for the pool's former members, where that is still known. */
  constructor(build: (pool: Pool, previous: T | undefined) => T, maxBytes = 64 * 2 ** 20) {
    this.#build = build;
    this.#pools = new LRUCache({
      max: MAX_POOLS,
      maxSize: maxBytes,
      sizeCalculation: (built) => built.value.bytes + 256,
    });
  }

  get(pool: Pool): T {
    const known = this.#lastKey === pool.key ? this.#last : this.#pools.get(pool.key);
    if (known?.generation === pool.generation) return this.#keep(pool.key, known);
    const built = { generation: pool.generation, value: this.#build(pool, known?.value) };
    this.#pools.set(pool.key, built);
    return this.#keep(pool.key, built);
  }

  #keep(key: string, built: Built<T>): T {
    this.#lastKey = key;
    this.#last = built;
    return built.value;
  }
}
