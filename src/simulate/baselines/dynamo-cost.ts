import type { Ask, Choice, Pool } from '../../routing/policy.ts';
import type { ActiveBlocks } from '../fleet/active-blocks.ts';
import { Baseline, type BaselineDeps } from './baseline.ts';
import { lowest } from './lowest.ts';

/** Dynamo's default `--kv-overlap-score-weight`. */
const OVERLAP_WEIGHT = 1;

/**
 * The cost of Dynamo's KV router at temperature 0: `w * prefill blocks + decode blocks`. Prefill counts what waits on the
 * worker plus the uncached part of this prompt; decode counts the distinct prompt blocks that its requests would hold with
 * this one among them, so that what several of them share counts once. Blocks of answers do not count, as by default.
 * Ties by lot. Left out: the queue in front of saturated workers and the busy threshold that rejects.
 */
export class DynamoCost extends Baseline {
  readonly name = 'dynamo_cost';
  readonly #active: Pick<ActiveBlocks, 'with'>;

  constructor(deps: BaselineDeps) {
    super(deps);
    this.#active = deps.activeBlocks();
  }

  choose(ask: Ask, pool: Pool): Choice {
    const blocks = ask.blocks();
    const matchedTokens = this.matched(ask, pool);
    return lowest(
      pool,
      (slot, index) => {
        const prefill =
          this.deps.loads.prefillTokens(slot) + blocks.totalTokens - (matchedTokens[index] ?? 0);
        return OVERLAP_WEIGHT * (prefill / blocks.tokensPerBlock) + this.#active.with(slot, blocks);
      },
      'cost',
      { random: this.deps.random, matchedTokens },
    );
  }
}
