import type { PromptBlocks } from '../blocks.ts';
import { ColdOrder } from '../cold-order.ts';
import { NOBODY } from '../eligible.ts';
import { FleetLoads, matchEach, MemberRow, slotsOf } from '../fleet-rows.ts';
import type {
  Ask,
  CacheView,
  Choice,
  LoadColumns,
  Policy,
  PolicyDeps,
  PolicyEvent,
  Pool,
} from '../policy.ts';
import { uncachedTokens } from '../uncached.ts';

export interface CacheAwareSettings {
  /** Fraction of the prompt's tokens that must match for affinity, 0 to 1. */
  readonly cacheThreshold: number;
  /** Loads are out of balance when max - min is above this and max is above the next times min. */
  readonly balanceAbsThreshold: number;
  readonly balanceRelThreshold: number;
}

/** What one look over the members found. */
interface Sight {
  /** The least loaded member, and the one with most of the prompt; of those that are alike, see `CacheAwarePolicy`. */
  readonly lightest: number;
  readonly warmest: number;
  readonly highestLoad: number;
}

/**
 * The worker expected to hold most of the prompt, if that is enough of it and the loads are in balance; else the least
 * loaded one.
 *
 * Affinity is bounded: when the wait at the warmest worker is expected to cost more than the prefill it saves, the
 * worker with the earliest expected first token is taken. That is the least loaded one in prompt tokens waiting, not in
 * requests, since one request may hold a whole book.
 *
 * Of members that are alike the less loaded is taken, then the one that was given a cold prompt longer ago.
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
  readonly #matched = new MemberRow();
  readonly #running = new MemberRow();
  readonly #costs = new MemberRow();

  constructor(settings: CacheAwareSettings, { loads, cache }: Pick<PolicyDeps, 'loads' | 'cache'>) {
    this.#settings = settings;
    this.#loads = new FleetLoads(loads);
    this.#cache = cache;
  }

  choose(ask: Ask, pool: Pool): Choice {
    if (pool.eligible === 0) return NOBODY;
    const blocks = ask.blocks();
    const matched = this.#matched.of(pool);
    const running = this.#running.of(pool);
    matchEach(this.#cache, blocks, pool, matched);
    const columns = this.#loads.read(pool);
    const { lightest, warmest, highestLoad } = this.#look(pool, columns, matched, running);
    const { balanceAbsThreshold, balanceRelThreshold, cacheThreshold } = this.#settings;
    const lowestLoad = running[lightest]!;

    if (highestLoad - lowestLoad > balanceAbsThreshold && highestLoad > balanceRelThreshold * lowestLoad) {
      return chosen(lightest, 'rebalanced', running, matched);
    }
    if (matched[warmest]! <= cacheThreshold * matchableTokens(blocks)) {
      return chosen(lightest, 'least_loaded_cold', running, matched);
    }
    const costs = this.#costs.of(pool);
    const quickest = this.#quickest(pool, columns, { matched, running, costs }, blocks.totalTokens);
    // The wait there costs more than the prefill it saves: (Qw + Uw)/rate > (Q + U)/rate for somebody else.
    if (costs[warmest]! > costs[quickest]!) {
      const asWarm = matched[quickest] === matched[warmest];
      return chosen(quickest, asWarm ? 'warmest' : 'affinity_bounded', costs, matched);
    }
    return chosen(warmest, 'warmest', costs, matched);
  }

  observe(event: PolicyEvent): void {
    this.#cold.observe(event);
  }

  /** Writes the running requests (ramped) of each member; NaN for those that are not eligible. */
  #look(pool: Pool, columns: LoadColumns, matched: Float64Array, running: Float64Array): Sight {
    const { mask, ramps } = pool;
    const slots = slotsOf(pool);
    let highestLoad = 0;
    let lightest = -1;
    let lowestLoad = Infinity;
    let lightestTurn = Infinity;
    let warmest = -1;
    let most = -1;
    let warmestLoad = Infinity;
    let warmestTurn = Infinity;
    for (let index = 0; index < slots.length; index++) {
      if (mask[index] !== 0) {
        running[index] = NaN;
        continue;
      }
      const slot = slots[index]!;
      const load = columns.running[slot]! * (ramps === false ? 1 : pool.ramp(index));
      running[index] = load;
      if (load > highestLoad) highestLoad = load;
      const tokens = matched[index]!;
      const isLight = load <= lowestLoad;
      const isWarm = tokens > most || (tokens === most && load <= warmestLoad);
      if (!isLight && !isWarm) continue;
      const turn = this.#cold.turnOf(slot);
      if (isLight && (load < lowestLoad || turn < lightestTurn)) {
        lightest = index;
        lowestLoad = load;
        lightestTurn = turn;
      }
      if (isWarm && (tokens > most || load < warmestLoad || turn < warmestTurn)) {
        warmest = index;
        most = tokens;
        warmestLoad = load;
        warmestTurn = turn;
      }
    }
    return { lightest, warmest, highestLoad };
  }

  /**
   * Writes for each member the seconds until the first token would come: what waits there already, then the uncached part of
   * this prompt. Returns who has the fewest.
   */
  #quickest(pool: Pool, columns: LoadColumns, rows: Rows, totalTokens: number): number {
    const { mask, ramps } = pool;
    const { prefillTokens, prefillRate } = columns;
    const { matched, running, costs } = rows;
    const slots = slotsOf(pool);
    let quickest = -1;
    let lowest = Infinity;
    for (let index = 0; index < slots.length; index++) {
      if (mask[index] !== 0) {
        costs[index] = NaN;
        continue;
      }
      const slot = slots[index]!;
      const ahead = prefillTokens[slot]! * (ramps === false ? 1 : pool.ramp(index));
      const cost = (ahead + uncachedTokens(totalTokens, matched[index]!)) / prefillRate[slot]!;
      costs[index] = cost;
      if (cost > lowest) continue;
      if (cost === lowest && !this.#before(slots, running, index, quickest)) continue;
      quickest = index;
      lowest = cost;
    }
    return quickest;
  }

  #before(slots: Int32Array, running: Float64Array, left: number, right: number): boolean {
    const difference = running[left]! - running[right]!;
    if (difference !== 0) return difference < 0;
    return this.#cold.turnOf(slots[left]!) < this.#cold.turnOf(slots[right]!);
  }
}

interface Rows {
  readonly matched: Float64Array;
  readonly running: Float64Array;
  readonly costs: Float64Array;
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
