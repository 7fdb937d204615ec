/** From what a policy is to know what workers have cached; `auto`, the default: from the best that there is for each of them. */
export const CACHE_KNOWLEDGE = ['auto', 'events', 'lmcache', 'predicted', 'none'] as const;
export type CacheKnowledge = (typeof CACHE_KNOWLEDGE)[number];

/** What policies have in common where they do not say it themselves. */
export interface PolicyDefaults {
  readonly loadCheckIntervalMs: number;
  readonly cacheKnowledge: CacheKnowledge;
}

/** Of the policy `kv_aware`. */
export interface KvAwareSettings {
  readonly cacheKnowledge?: CacheKnowledge;
  /** Tokens of the blocks that are counted. */
  readonly blockSize: number;
  /** What a block counts for by where it lies. */
  readonly weights: { readonly gpu: number; readonly cpu: number; readonly disk: number };
  /** For so long a prompt counts as held by the worker that it was sent to; 0 = not at all. */
  readonly speculativeMs: number;
  readonly loadBounded: boolean;
}
