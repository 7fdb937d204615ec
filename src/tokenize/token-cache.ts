import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { Clock } from '../base/clock.ts';

export interface TokenCacheBounds {
  /** Of ids and keys together. */
  readonly maxBytes: number;
  readonly maxEntries: number;
  readonly ttlMs: number;
}

/** What an entry takes beside its ids: key, list and map of the cache. */
const ENTRY_BYTES = 320;

interface Entry {
  readonly ids: Uint32Array;
  /** The name by which the worker knows the model. */
  readonly model: string;
}

/** What the tokens of a prompt depend on. */
export interface TokenKeyParts {
  /** Whose tokens they are: a tokenizer with its template, or a model of workers of one version. */
  readonly identity: string;
  readonly route: string;
  /** `tokenMembers` of the body. */
  readonly members: Uint8Array;
}

export function tokenKey({ identity, route, members }: TokenKeyParts): string {
  return createHash('sha256').update(`${identity}\n${route}\n`).update(members).digest('base64');
}

/** Token ids of prompts that have been tokenised, the most recently used ones. */
export class TokenCache {
  readonly #clock: Clock;
  #entries: LRUCache<string, Entry>;

  constructor(bounds: TokenCacheBounds, clock: Clock) {
    this.#clock = clock;
    this.#entries = this.#cache(bounds);
  }

  get size(): number {
    return this.#entries.size;
  }

  get bytes(): number {
    return this.#entries.calculatedSize;
  }

  get(key: string): Uint32Array | undefined {
    return this.#entries.get(key)?.ids;
  }

  set(key: string, entry: Entry): void {
    this.#entries.set(key, entry);
  }

  /** The model may be tokenised otherwise from now on. */
  forget(model: string): void {
    for (const [key, entry] of this.#entries.entries()) if (entry.model === model) this.#entries.delete(key);
  }

  /** Entries that fit are kept, the most recently used first. */
  reconfigure(bounds: TokenCacheBounds): void {
    const before = this.#entries;
    this.#entries = this.#cache(bounds);
    for (const [key, entry] of [...before.entries()].toReversed()) this.#entries.set(key, entry);
  }

  #cache({ maxBytes, maxEntries, ttlMs }: TokenCacheBounds): LRUCache<string, Entry> {
    return new LRUCache({
      ...{ max: maxEntries, maxSize: maxBytes, ttl: ttlMs },
      sizeCalculation: ({ ids }) => ids.byteLength + ENTRY_BYTES,
      perf: { now: () => this.#clock.now() },
      // A timer of its own would hold the test's clock up, and the process.
      ttlResolution: 0,
    });
  }
}
