import type { Ask, Choice, Pool } from '../../routing/policy.ts';
import { Baseline } from './baseline.ts';
import { lowest } from './lowest.ts';

/**
 * LMetric's product (2026): least `P * B`, P the prompt tokens that would wait there with this prompt's uncached part, B
 * the size of the batch with this request in it.
 */
export class LmetricProduct extends Baseline {
  readonly name = 'lmetric_product';

  choose(ask: Ask, pool: Pool): Choice {
    const { totalTokens } = ask.blocks();
    const { loads, random } = this.deps;
    const matchedTokens = this.matched(ask, pool);
    return lowest(
      pool,
      (slot, index) =>
        (1 + loads.prefillTokens(slot) + totalTokens - (matchedTokens[index] ?? 0)) *
        (1 + loads.running(slot)),
      'product',
      { random, matchedTokens },
    );
  }
}
