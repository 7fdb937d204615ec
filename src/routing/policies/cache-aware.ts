import type { PromptBlocks } from '../blocks.ts';
import { ColdOrder } from '../cold-order.ts';
import { NOBODY } from '../eligible.ts';
import { FleetLoads, matchEach, slotsOf } from '../fleet-rows.ts';
import type { Ask, CacheView, Choice, LoadRows, Policy, PolicyDeps, PolicyEvent, Pool } from '../policy.ts';
import { uncachedTokens } from '../uncached.ts';

export interface CacheAwareSettings {
  /** Fraction of the prompt's tokens that must match for affinity, 0 to 1. */
  readonly cacheThreshold: number;
  /** Loads are out of balance when max - min is above this and max is above the next times min. */
  readonly balanceAbsThreshold: number;
  readonly balanceRelThreshold: number;
}

/** What decides between members that are alike. */
interface Tied {
  readonly slots: Int32Array;
  readonly loads: Float64Array;
}

/** Per-member numbers of one choice; NaN for members that are not eligible. */
interface View extends Tied {
  readonly matched: Float64Array;
  readonly lowestLoad: number;
  readonly highestLoad: number;
  readonly warmest: number;
  /** As the ledger has them. */
  readonly rows: LoadRows;
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
  readonly #loads: FleetLoads;
  readonly #cache: CacheView;
  readonly #cold = new ColdOrder();

  constructor(settings: CacheAwareSettings, { loads, cache }: Pick<PolicyDeps, 'loads' | 'cache'>) {
    this.#settings = settings;
    this.#loads = new FleetLoads(loads);
    this.#cache = cache;
  }

  choose(ask: Ask, pool: Pool): Choice {
    if (pool.eligible === 0) return NOBODY;
    const view = this.#look(ask, pool);
    const { lowestLoad, highestLoad, matched, loads } = view;
    const { balanceAbsThreshold, balanceRelThreshold, cacheThreshold } = this.#settings;
    const { totalTokens } = ask.blocks();

    if (highestLoad - lowestLoad > balanceAbsThreshold && highestLoad > balanceRelThreshold * lowestLoad) {
      return chosen(this.#lowest(pool, loads, view), 'rebalanced', loads, matched);
    }
    if (matched[view.warmest]! <= cacheThreshold * matchableTokens(ask.blocks())) {
      return chosen(this.#lowest(pool, loads, view), 'least_loaded_cold', loads, matched);
    }
    const costs = this.#firstTokenCosts(pool, view, totalTokens);
    const quickest = this.#lowest(pool, costs, view);
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
    const rows = this.#loads.read(pool);
    const tied = { slots: slotsOf(pool), loads };
    let lowestLoad = Infinity;
    let highestLoad = 0;
    let warmest = -1;
    for (let index = 0; index < members.length; index++) {
      if (mask[index] !== 0) {
        loads[index] = NaN;
        continue;
      }
      const load = (loads[index] = rows.running[index]! * pool.ramp(index));
      if (load < lowestLoad) lowestLoad = load;
      if (load > highestLoad) highestLoad = load;
      const lead = warmest < 0 ? Infinity : matched[index]! - matched[warmest]!;
      if (lead > 0 || (lead === 0 && this.#before(tied, index, warmest))) warmest = index;
    }
    return { ...tied, matched, lowestLoad, highestLoad, warmest, rows };
  }

  /** Seconds until the first token would come: what waits there already, then the uncached part of this prompt. */
  #firstTokenCosts(pool: Pool, { matched, rows }: View, totalTokens: number): Float64Array {
    const { mask } = pool;
    const costs = new Float64Array(matched.length);
    for (let index = 0; index < matched.length; index++) {
      if (mask[index] !== 0) {
        costs[index] = NaN;
        continue;
      }
      const ahead = rows.prefillTokens[index]! * pool.ramp(index);
      const own = uncachedTokens(totalTokens, matched[index]!);
      costs[index] = (ahead + own) / rows.prefillRate[index]!;
    }
    return costs;
  }

  #lowest({ mask }: Pool, values: Float64Array, tied: Tied): number {
    let best = -1;
    for (let index = 0; index < values.length; index++) {
      if (mask[index] !== 0) continue;
      const lead = best < 0 ? Infinity : values[best]! - values[index]!;
      if (lead > 0 || (lead === 0 && this.#before(tied, index, best))) best = index;
    }
    return best;
  }

  /** Tie rule: the less loaded, then the one that was given a cold prompt longer ago. */
  #before({ slots, loads }: Tied, left: number, right: number): boolean {
    const difference = loads[left]! - loads[right]!;
    if (difference !== 0) return difference < 0;
    return this.#cold.turnOf(slots[left]!) < this.#cold.turnOf(slots[right]!);
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
