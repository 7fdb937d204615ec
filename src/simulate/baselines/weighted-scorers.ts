import type { Ask, Choice, Pool } from '../../routing/policy.ts';
import type { EngineStatsView } from '../fleet/fleet-view.ts';
import { Baseline, type BaselineDeps } from './baseline.ts';
import { lowest } from './lowest.ts';

/** How often the endpoint picker reads the engines' metrics, ms. */
const SCRAPE_MS = 50;
const WEIGHTS = { queue: 2, kvCache: 2, prefix: 3 };

/**
 * The default profile of llm-d and the Gateway API Inference Extension: weighted sum of three scores between 0 and 1,
 * queue depth relative to the pool (weight 2), free KV cache (2) and matched share of the prompt (3); the highest wins,
 * ties by lot.
 */
export class WeightedScorers extends Baseline {
  readonly name = 'llm_d_default';
  readonly #stats: EngineStatsView;

  constructor(deps: BaselineDeps) {
    super(deps);
    this.#stats = deps.engineStats(SCRAPE_MS);
  }

  choose(ask: Ask, pool: Pool): Choice {
    const stats = this.#stats;
    let shortest = Infinity;
    let longest = 0;
    for (const [index, { slot }] of pool.members.entries()) {
      if (pool.mask[index] !== 0) continue;
      shortest = Math.min(shortest, stats.waiting(slot));
      longest = Math.max(longest, stats.waiting(slot));
    }
    const { totalTokens } = ask.blocks();
    const matchedTokens = this.matched(ask, pool);
    return lowest(
      pool,
      (slot, index) => {
        const queue = longest === shortest ? 1 : (longest - stats.waiting(slot)) / (longest - shortest);
        const prefix = (matchedTokens[index] ?? 0) / Math.max(1, totalTokens);
        return -(
          WEIGHTS.queue * queue +
          WEIGHTS.kvCache * (1 - stats.kvUsage(slot)) +
          WEIGHTS.prefix * prefix
        );
      },
      'weighted_sum',
      { random: this.deps.random, matchedTokens },
    );
  }
}
