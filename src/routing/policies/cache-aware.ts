import type { PromptBlocks } from '../blocks.ts';
import { ColdOrder } from '../cold-order.ts';
import { NOBODY } from '../eligible.ts';
import { FleetLoads, MemberRow, slotsOf } from '../fleet-rows.ts';
import { MemberMatches } from '../member-matches.ts';
import type { Ask, Choice, LoadColumns, Policy, PolicyDeps, PolicyEvent, Pool } from '../policy.ts';
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
  readonly #matches: MemberMatches;
  readonly #cold: ColdOrder;
  readonly #running = new MemberRow();
  readonly #costs = new MemberRow();

  constructor(
    settings: CacheAwareSettings,
    { loads, cache, share }: Pick<PolicyDeps, 'loads' | 'cache' | 'share'>,
  ) {
    this.#cold = new ColdOrder(share);
    this.#settings = settings;
    this.#loads = new FleetLoads(loads);
    this.#matches = new MemberMatches(cache);
  }

  choose(ask: Ask, pool: Pool): Choice {
    if (pool.eligible === 0) return NOBODY;
    const blocks = ask.blocks();
    const running = this.#running.of(pool);
    const matches = this.#matches.look(ask, pool);
    const { saved } = matches;
    const columns = this.#loads.read(pool);
    const { slots } = slotsOf(pool);
    const rows = {
      saved,
      running,
      costs: this.#costs.of(pool),
      turns: this.#cold.column(columns.running.length),
    };
    const { lightest, warmest, highestLoad } = look(slots, columns, rows);
    const { balanceAbsThreshold, balanceRelThreshold, cacheThreshold } = this.#settings;
    const lowestLoad = running[lightest]!;

    if (highestLoad - lowestLoad > balanceAbsThreshold && highestLoad > balanceRelThreshold * lowestLoad) {
      return chosen(lightest, 'rebalanced', running, matches);
    }
    if (saved[warmest]! <= cacheThreshold * matchableTokens(blocks)) {
      return chosen(lightest, 'least_loaded_cold', running, matches);
    }
    const { costs } = rows;
    const quickest = reckon(slots, columns, rows, blocks.totalTokens);
    // The wait there costs more than the prefill it saves: (Qw + Uw)/rate > (Q + U)/rate for somebody else.
    if (costs[warmest]! > costs[quickest]!) {
      const asWarm = saved[quickest] === saved[warmest];
      return chosen(quickest, asWarm ? 'warmest' : 'affinity_bounded', costs, matches);
    }
    return chosen(warmest, 'warmest', costs, matches);
  }

  observe(event: PolicyEvent): void {
    this.#cold.observe(event);
  }
}

/** Numbers of the members of one pool, and by slot who was given a cold prompt when. */
interface Rows {
  /** Tokens that need not be computed there. NaN of those that may not be chosen; so is what is reckoned of them. */
  readonly saved: Float64Array;
  readonly running: Float64Array;
  readonly costs: Float64Array;
  readonly turns: Float64Array;
}

/** Writes the running requests (ramped) of each member. */
function look(slots: Int32Array, columns: LoadColumns, { saved, running, turns }: Rows): Sight {
  const loads = columns.running;
  let highestLoad = 0;
  let lightest = -1;
  let lowestLoad = Infinity;
  let lightestTurn = Infinity;
  let warmest = -1;
  let most = -1;
  let warmestLoad = Infinity;
  let warmestTurn = Infinity;
  for (let index = 0; index < slots.length; index++) {
    const slot = slots[index]!;
    const turn = turns[slot]!;
    const tokens = saved[index]!;
    // NaN stays NaN.
    const load = loads[slot]! + 0 * tokens;
    running[index] = load;
    if (load > highestLoad) highestLoad = load;
    if (load < lowestLoad || (load === lowestLoad && turn < lightestTurn)) {
      lightest = index;
      lowestLoad = load;
      lightestTurn = turn;
    }
    const isAsWarm = tokens === most && (load < warmestLoad || (load === warmestLoad && turn < warmestTurn));
    if (tokens > most || isAsWarm) {
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
function reckon(slots: Int32Array, columns: LoadColumns, rows: Rows, totalTokens: number): number {
  const { prefillTokens, prefillRate } = columns;
  const { saved, running, costs, turns } = rows;
  let quickest = -1;
  let lowest = Infinity;
  let quickestLoad = Infinity;
  let quickestTurn = Infinity;
  for (let index = 0; index < slots.length; index++) {
    const slot = slots[index]!;
    const load = running[index]!;
    const turn = turns[slot]!;
    const uncached = uncachedTokens(totalTokens, saved[index]!);
    const cost = (costs[index] = (prefillTokens[slot]! + uncached) / prefillRate[slot]!);
    const isAsQuick =
      cost === lowest && (load < quickestLoad || (load === quickestLoad && turn < quickestTurn));
    if (cost < lowest || isAsQuick) {
      quickest = index;
      lowest = cost;
      quickestLoad = load;
      quickestTurn = turn;
    }
  }
  return quickest;
}

/** Tokens that can match at all: of a prompt beyond the hashing limit, those of the part that is hashed. */
function matchableTokens({ count, tokensPerBlock, totalTokens }: PromptBlocks): number {
  const hashed = count * tokensPerBlock;
  // Less than a block, and a token for rounding, is left over behind the last full block of any other prompt.
  return totalTokens - hashed > tokensPerBlock + 1 ? hashed : totalTokens;
}

function chosen(
  index: number,
  reason: string,
  scores: Float64Array,
  { tokens: matchedTokens, knowledge }: MemberMatches,
): Choice {
  return { kind: 'chosen', index, reason, scores, matchedTokens, knowledge };
}
