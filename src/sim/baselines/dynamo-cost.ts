import type { Ask, Choice, Pool } from '../../routing/policy.ts';
import { Baseline } from './baseline.ts';
import { lowest } from './lowest.ts';

/** Dynamo's default `--kv-overlap-score-weight`. */
const OVERLAP_WEIGHT = 1;

/**
 * The cost of Dynamo's KV router at temperature 0: `w * prefill blocks + decode blocks`, where prefill counts what waits
 * on the worker plus the uncached part of this prompt, and decode counts the blocks of the requests that run there, this
 * one included. Ties by lot.
 */
export class DynamoCost extends Baseline {
  readonly name = 'dynamo_cost';

  choose(ask: Ask, pool: Pool): Choice {
    const { tokensPerBlock, totalTokens } = ask.blocks();
    const matchedTokens = this.matched(ask, pool);
    return lowest(
      pool,
      (slot, index) => {
        const prefill = this.deps.loads.prefillTokens(slot) + totalTokens - (matchedTokens[index] ?? 0);
        const active = this.deps.activePromptTokens(slot) + totalTokens;
        return (OVERLAP_WEIGHT * prefill + active) / tokensPerBlock;
      },
      'cost',
      { random: this.deps.random, matchedTokens },
    );
  }
}
