import type { PromptBlocks } from '../blocks.ts';
import { ColdOrder } from '../cold-order.ts';
import { NOBODY, rampedLoad } from '../eligible.ts';
import { matchEach } from '../match-each.ts';
import type { Ask, CacheView, Choice, LoadView, Policy, PolicyDeps, PolicyEvent, Pool } from '../policy.ts';
import { uncachedTokens } from '../uncached.ts';

export interface CacheAwareSettings {
  /** Fraction of the prompt's tokens that must match for affinity, 0 to 1. */
  readonly cacheThreshold: number;
  /** Loads are out of balance when max - min is above this and max is above the next times min. */
  readonly balanceAbsThreshold: number;
  readonly balanceRelThreshold: number;
}

/** Per-member numbers of one choice; NaN for members that are not eligible. */
interface View {
  readonly loads: Float64Array;
  readonly matched: Float64Array;
  readonly lowestLoad: number;
  readonly highestLoad: number;
  readonly warmest: number;
}

/**
 * The worker expected to hold most of the prompt, if that is enough of it and the loads are in balance; else the least
 * loaded one.
 *
 * Affinity is bounded: when the wait at the warmest worker is expected to cost more than the prefill it saves, the
 * worker with the earliest expected first token is taken. That is the least loaded one in prompt tokens waiting, not in
 * requests, since one request may hold a whole book.
 *
 * `scores` are what the deciding rule compared: running requests (ramped) for `rebalanced` and `least_loaded_cold`,
 * else seconds to the first token.
 */
export class CacheAwarePolicy implements Policy {
  readonly name = 'cache_aware';
  readonly needs = { cache: true };
  readonly #settings: CacheAwareSettings;
  readonly #loads: LoadView;
  readonly #cache: CacheView;
  readonly #cold = new ColdOrder();

  constructor(settings: CacheAwareSettings, { loads, cache }: Pick<PolicyDeps, 'loads' | 'cache'>) {
    this.#settings = settings;
    this.#loads = loads;
    this.#cache = cache;
  }

  choose(ask: Ask, pool: Pool): Choice {
    if (pool.eligible === 0) return NOBODY;
    const view = this.#look(ask, pool);
    const { lowestLoad, highestLoad, matched, loads } = view;
    const { balanceAbsThreshold, balanceRelThreshold, cacheThreshold } = this.#settings;
    const { totalTokens } = ask.blocks();

    if (highestLoad - lowestLoad > balanceAbsThreshold && highestLoad > balanceRelThreshold * lowestLoad) {
      return chosen(this.#lowest(pool, loads, loads), 'rebalanced', loads, matched);
    }
    if (matched[view.warmest]! <= cacheThreshold * matchableTokens(ask.blocks())) {
      return chosen(this.#lowest(pool, loads, loads), 'least_loaded_cold', loads, matched);
    }
    const costs = this.#firstTokenCosts(pool, matched, totalTokens);
    const quickest = this.#lowest(pool, costs, loads);
    // The wait there costs more than the prefill it saves: (Qw + Uw)/rate > (Q + U)/rate for somebody else.
    if (costs[view.warmest]! > costs[quickest]!) {
      const asWarm = matched[quickest] === matched[view.warmest];
      return chosen(quickest, asWarm ? 'warmest' : 'affinity_bounded', costs, matched);
    }
    return chosen(view.warmest, 'warmest', costs, matched);
  }

  observe(event: PolicyEvent): void {
    this.#cold.observe(event);
  }

  #look(ask: Ask, pool: Pool): View {
    const { members, mask } = pool;
    const loads = new Float64Array(members.length);
    const matched = new Float64Array(members.length);
    matchEach(this.#cache, ask.blocks(), pool, matched);
    let lowestLoad = Infinity;
    let highestLoad = 0;
    let warmest = -1;
    for (let index = 0; index < members.length; index++) {
      if (mask[index] !== 0) {
        loads[index] = NaN;
        continue;
      }
      const load = (loads[index] = rampedLoad(pool, this.#loads, index));
      if (load < lowestLoad) lowestLoad = load;
      if (load > highestLoad) highestLoad = load;
      const lead = warmest < 0 ? Infinity : matched[index]! - matched[warmest]!;
      if (lead > 0 || (lead === 0 && this.#before(pool, index, warmest, loads))) warmest = index;
    }
    return { loads, matched, lowestLoad, highestLoad, warmest };
  }

  /** Seconds until the first token would come: what waits there already, then the uncached part of this prompt. */
  #firstTokenCosts(pool: Pool, matched: Float64Array, totalTokens: number): Float64Array {
    const { members, mask } = pool;
    const costs = new Float64Array(members.length);
    for (let index = 0; index < members.length; index++) {
      if (mask[index] !== 0) {
        costs[index] = NaN;
        continue;
      }
      const { slot } = members[index]!;
      const ahead = this.#loads.prefillTokens(slot) * pool.ramp(index);
      const own = uncachedTokens(totalTokens, matched[index]!);
      costs[index] = (ahead + own) / this.#loads.prefillRate(slot);
    }
    return costs;
  }

  #lowest(pool: Pool, values: Float64Array, loads: Float64Array): number {
    const { mask } = pool;
    let best = -1;
    for (let index = 0; index < values.length; index++) {
      if (mask[index] !== 0) continue;
      const lead = best < 0 ? Infinity : values[best]! - values[index]!;
      if (lead > 0 || (lead === 0 && this.#before(pool, index, best, loads))) best = index;
    }
    return best;
  }

  /** Tie rule: the less loaded, then the one that was given a cold prompt longer ago. */
  #before(pool: Pool, left: number, right: number, loads: Float64Array): boolean {
    const difference = loads[left]! - loads[right]!;
    if (difference !== 0) return difference < 0;
    return this.#turn(pool, left) < this.#turn(pool, right);
  }

  #turn(pool: Pool, index: number): number {
    const member = pool.members[index];
    return member === undefined ? Infinity : this.#cold.turnOf(member.slot);
  }
}

/** Tokens that can match at all: of a prompt beyond the hashing limit, those of the part that is hashed. */
function matchableTokens({ count, tokensPerBlock, totalTokens }: PromptBlocks): number {
  const hashed = count * tokensPerBlock;
  // Less than a block, and a token for rounding, is left over behind the last full block of any other prompt.
  return totalTokens - hashed > tokensPerBlock + 1 ? hashed : totalTokens;
}

function chosen(index: number, reason: string, scores: Float64Array, matchedTokens: Float64Array): Choice {
  return { kind: 'chosen', index, reason, scores, matchedTokens };
}
