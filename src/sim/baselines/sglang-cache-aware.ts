import type { Ask, Choice, Pool } from '../../routing/policy.ts';
import { Baseline } from './baseline.ts';
import { lowest } from './lowest.ts';

const ABS_THRESHOLD = 64;
const REL_THRESHOLD = 1.5;
const CACHE_THRESHOLD = 0.3;

/**
 * The two-mode switch of SGLang's router (v0.4) and its descendants: out of balance -> the shortest queue; else, if more
 * than the threshold of the prompt matches, the best match; else the worker with the smallest tree. Thresholds are
 * those of its current flags.
 */
export class SglangCacheAware extends Baseline {
  readonly name = 'sglang_cache_aware';

  choose(ask: Ask, pool: Pool): Choice {
    const { loads } = this.deps;
    let least = Infinity;
    let most = 0;
    for (const [index, { slot }] of pool.members.entries()) {
      if (pool.mask[index] !== 0) continue;
      least = Math.min(least, loads.running(slot));
      most = Math.max(most, loads.running(slot));
    }
    const matchedTokens = this.matched(ask, pool);
    if (most - least > ABS_THRESHOLD && most > REL_THRESHOLD * least)
      return lowest(pool, (slot) => loads.running(slot), 'shortest_queue', { matchedTokens });
    const best = lowest(pool, (_slot, index) => -(matchedTokens[index] ?? 0), 'best_match', {
      matchedTokens,
    });
    if (best.kind === 'none') return best;
    const rate = (matchedTokens[best.index] ?? 0) / ask.blocks().totalTokens;
    if (rate > CACHE_THRESHOLD) return best;
    return lowest(pool, (slot) => this.deps.believedBlocks(slot), 'smallest_tree', { matchedTokens });
  }
}
