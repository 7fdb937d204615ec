import { LRUCache } from 'lru-cache';
import type { Clock } from '../../base/clock.ts';
import type { AnswerStore, Flushed } from '../answer-store.ts';

export interface MemoryBounds {
  readonly maxEntries: number;
  /** Of values and keys together. */
  readonly maxBytes: number;
}

/** What an entry takes beside its value and the bytes of its key: list and map of the cache. */
const ENTRY_BYTES = 320;

/** In this thread: the most recently used ones, as long as they are fresh. */
export class MemoryStore implements AnswerStore {
  readonly #clock: Pick<Clock, 'now'>;
  #entries: LRUCache<string, Buffer>;
  #closed = false;

  constructor(bounds: MemoryBounds, clock: Pick<Clock, 'now'>) {
    this.#clock = clock;
    this.#entries = this.#cache(bounds);
  }

  get size(): { readonly entries: number; readonly bytes: number } {
    this.#entries.purgeStale();
    return { entries: this.#entries.size, bytes: this.#entries.calculatedSize };
  }

  get(key: string): Buffer | undefined {
    return this.#entries.get(key);
  }

  /** A value that is too large for the whole store is not kept, and what its key held before is gone. */
  set(key: string, value: Buffer, ttlMs: number): void {
    if (this.#closed) return;
    if (ttlMs > 0) this.#entries.set(key, value, { ttl: ttlMs });
    else this.#entries.delete(key);
  }

  flush(prefix: string, part = ''): Promise<Flushed> {
    const gone = [...this.#entries.keys()].filter((key) => key.startsWith(prefix) && key.includes(part));
    for (const key of gone) this.#entries.delete(key);
    return Promise.resolve({ count: gone.length });
  }

  /** Entries that fit are kept, the most recently used first. */
  reconfigure(bounds: MemoryBounds): void {
    const before = this.#entries;
    this.#entries = this.#cache(bounds);
    this.#entries.load(before.dump());
  }

  close(): Promise<void> {
    this.#closed = true;
    this.#entries.clear();
    return Promise.resolve();
  }

  #cache({ maxEntries, maxBytes }: MemoryBounds): LRUCache<string, Buffer> {
    return new LRUCache({
      ...{ max: maxEntries, maxSize: maxBytes },
      sizeCalculation: (value, key) => value.byteLength + 2 * key.length + ENTRY_BYTES,
      ttl: 1,
      // The cache takes a time of 0 for none.
      perf: { now: () => 1 + this.#clock.now() },
      // A timer of its own would hold the test's clock up, and the process.
      ttlResolution: 0,
    });
  }
}
