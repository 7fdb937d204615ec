import type { Clock } from '../../base/clock.ts';
import { BlockSizes } from '../../cache-knowledge/block-sizes.ts';
import type { CacheIndex } from '../../cache-knowledge/cache-index.ts';
import type { ExactCaches } from '../../cache-knowledge/exact-caches.ts';
import { FailedSends } from '../../cache-knowledge/failed-sends.ts';
import { blockSizeIn, KnownCaches, type KnownOptions } from '../../cache-knowledge/known-caches.ts';
import { noCache } from '../../cache-knowledge/predicted-index.ts';
import type { PolicySettings } from '../../config/settings/settings.ts';
import type { CacheView, LoadView, Policy } from '../../routing/policy.ts';
import type { Roster } from '../../workers/roster.ts';

export interface PolicyCachesDeps {
  readonly loads: LoadView;
  readonly clock: Clock;
  readonly registry: Roster;
  readonly openIndex: () => CacheIndex;
  /** What engines' events say, where they are received. */
  readonly exact?: (() => ExactCaches | undefined) | undefined;
  /** The index that request threads need, whether a policy of this thread does or not. */
  readonly threadsIndex?: () => CacheIndex | undefined;
}

/** What policies can know of the workers' caches: one predicted index serves all that look at it. */
export class PolicyCaches {
  readonly #deps: PolicyCachesDeps;
  readonly #blockSizes: BlockSizes;
  readonly #failed: FailedSends;
  #index: CacheIndex | undefined;

  constructor(deps: PolicyCachesDeps) {
    this.#deps = deps;
    this.#blockSizes = new BlockSizes(deps.registry);
    this.#failed = new FailedSends(deps.clock);
  }

  /** Kept only for policies that need it. */
  get index(): CacheIndex | undefined {
    return this.#index ?? this.#deps.threadsIndex?.();
  }

  failedOn(slot: number): void {
    this.#failed.note(slot);
  }

  blockSizeOf(slot: number): number {
    return blockSizeIn(this.#deps.exact?.(), slot, this.#blockSizes.of(slot));
  }

  /** For a policy that stays: the index is made for the first one that goes by it. */
  viewFor(settings: PolicySettings): CacheView {
    return this.#view(settings, usesIndex(settings) ? (this.#index ??= this.#deps.openIndex()) : undefined);
  }

  /** For a policy for one look: it sees the index if there is one. */
  glance(settings: PolicySettings): CacheView {
    return this.#view(settings, this.index);
  }

  /** Nobody looks at the index any more: it would be filled with every request for nobody, and be stale when somebody looks again. */
  close(): void {
    this.#index?.close();
    this.#index = undefined;
  }

  #view(settings: PolicySettings, predicted: CacheIndex | undefined): CacheView {
    const options = knownOptions(settings);
    if (options.knowledge === 'none') return noCache;
    const { exact, loads } = this.#deps;
    const blockSize = (slot: number): number => this.#blockSizes.of(slot);
    return new KnownCaches(
      { predicted, exact, blockSize, failed: this.#failed, waitMs: waitsOf(loads) },
      options,
    );
  }
}

/** What its parameters say of how the caches are known. */
export function knownOptions(settings: PolicySettings): KnownOptions {
  const { cacheKnowledge: knowledge, speculativeMs } = {
    ...{ cacheKnowledge: undefined, speculativeMs: undefined },
    ...settings,
  };
  return { knowledge, speculativeMs };
}

/** Whether it goes by the predicted index, if by any cache. */
export function usesIndex(settings: PolicySettings): boolean {
  const { knowledge } = knownOptions(settings);
  return knowledge !== 'none' && knowledge !== 'lmcache';
}

/** How long each worker takes for the prompts that it has been sent, ms. */
export function waitsOf(loads: LoadView): (slot: number) => number {
  return (slot) => (1000 * loads.prefillTokens(slot)) / loads.prefillRate(slot);
}

/** Whether it is made for what LMCache's controller says: others gain from it where it is configured. */
export function asksLmcache({ needs: { lmcache } }: Policy): boolean {
  return lmcache === 'prompts' || lmcache === 'occupancy';
}
