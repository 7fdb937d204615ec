import { ColdOrder } from '../../routing/cold-order.ts';
import { uncachedTokens } from '../../routing/uncached.ts';
import type { Ask, Choice, PolicyEvent, Pool } from '../../routing/policy.ts';
import { Baseline, type BaselineDeps } from '../baselines/baseline.ts';
import { lowest } from '../baselines/lowest.ts';

const THETA = 0.3;
/** As in `least_work`. */
const TIE = 0.05;

export interface Extra {
  /** Price of a token that the prompt would push out of a full cache, in tokens to be computed again. */
  readonly eviction?: number;
  /** Price of an uncached token beside its own computation: what it costs those who come later. */
  readonly affinity?: number;
}

/** `least_work` with one more term, to see what that would bring. */
export class LeastWorkVariant extends Baseline {
  readonly name: string;
  readonly #extra: Required<Extra>;
  readonly #cold = new ColdOrder();

  constructor(name: string, { eviction = 0, affinity = 0 }: Extra, deps: BaselineDeps) {
    super(deps);
    this.name = name;
    this.#extra = { eviction, affinity };
  }

  choose(ask: Ask, pool: Pool): Choice {
    const matchedTokens = this.matched(ask, pool);
    const best = lowest(
      pool,
      (slot, index) => this.#seconds(ask, slot, matchedTokens[index] ?? 0, pool.ramp(index)),
      this.name,
      { matchedTokens },
    );
    if (best.kind === 'none') return best;
    const { scores } = best;
    let { index } = best;
    let turn = Infinity;
    for (const [other, { slot }] of pool.members.entries()) {
      const isTied = (scores?.[other] ?? NaN) <= (scores?.[best.index] ?? NaN) * (1 + TIE);
      if (!isTied || matchedTokens[other] !== matchedTokens[best.index]) continue;
      if (this.#cold.turnOf(slot) >= turn) continue;
      index = other;
      turn = this.#cold.turnOf(slot);
    }
    return { ...best, index };
  }

  override observe(event: PolicyEvent): void {
    this.#cold.observe(event);
  }

  #seconds(ask: Ask, slot: number, matched: number, ramp: number): number {
    const { loads } = this.deps;
    const { totalTokens, tokensPerBlock } = ask.blocks();
    const { eviction, affinity } = this.#extra;
    const uncached = uncachedTokens(totalTokens, matched);
    const held = this.deps.believedBlocks(slot) * tokensPerBlock;
    const pushedOut = Math.min(uncached, Math.max(0, held + uncached - this.deps.cacheTokens(slot)));
    const ahead = loads.prefillTokens(slot) * ramp;
    const others = THETA * uncached * loads.running(slot) * ramp;
    const later = affinity * uncached + eviction * pushedOut;
    return (ahead + uncached + others + later) / loads.prefillRate(slot);
  }
}
