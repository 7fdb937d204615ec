import type { PromptBlocks } from './blocks.ts';
import type { CacheView, Pool } from './policy.ts';

/** Cached tokens of the prompt for each member that may be chosen, NaN for the others, in `tokens`. */
export function matchEach(cache: CacheView, blocks: PromptBlocks, pool: Pool, tokens: Float64Array): void {
  if (cache.matchEach) {
    cache.matchEach(blocks, pool, tokens);
    return;
  }
  for (const [index, { slot }] of pool.members.entries())
    tokens[index] = pool.mask[index] === 0 ? cache.match(blocks, slot).tokens : NaN;
}
