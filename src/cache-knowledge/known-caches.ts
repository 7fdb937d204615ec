import type { Ask, CacheMatch, CacheView, MatchColumns } from '../routing/policy.ts';
import type { CacheIndex } from './cache-index.ts';

/** What policies see of the workers' caches, put together from whatever is known of each of them. */
export class KnownCaches implements CacheView {
  readonly #predicted: CacheIndex;

  constructor({ predicted }: { readonly predicted: CacheIndex }) {
    this.#predicted = predicted;
  }

  match(ask: Ask, slot: number): CacheMatch {
    return this.#predicted.match(ask.blocks(), slot);
  }

  matchAll(ask: Ask, end: number): MatchColumns {
    return this.#predicted.matchAll(ask.blocks(), end);
  }
}
