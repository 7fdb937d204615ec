import { look, reckon } from '../affinity.ts';
import type { PromptBlocks } from '../blocks.ts';
import { ColdOrder } from '../cold-order.ts';
import { NOBODY } from '../eligible.ts';
import { FleetLoads, MemberRow, slotsOf } from '../fleet-rows.ts';
import { chosenByMatches as chosen, MemberMatches, needsOf } from '../member-matches.ts';
import type { Ask, Choice, Policy, PolicyDeps, PolicyEvent, Pool, PrefixHints } from '../policy.ts';

export interface CacheAwareSettings {
  /** Fraction of the prompt's tokens that must match for affinity, 0 to 1. */
  readonly cacheThreshold: number;
  /** Loads are out of balance when max - min is above this and max is above the next times min. */
  readonly balanceAbsThreshold: number;
  readonly balanceRelThreshold: number;
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
 *
 * Where routers share a table of beginnings (`prefixes`), a prompt that is cold here goes where another router has sent one that begins
 * alike, as long as that worker may be chosen. The index of this router is not asked for leave otherwise.
 */
export class CacheAwarePolicy implements Policy {
  readonly name = 'cache_aware';
  readonly needs: Policy['needs'];
  readonly #prefixes: PrefixHints | undefined;
  /** Of the choice before, whose request is sent now. */
  #chosenFrom: Pool['members'] = [];
  readonly #settings: CacheAwareSettings;
  readonly #loads: FleetLoads;
  readonly #matches: MemberMatches;
  readonly #cold: ColdOrder;
  readonly #running = new MemberRow();
  readonly #costs = new MemberRow();

  constructor(
    settings: CacheAwareSettings,
    { loads, cache, share, prefixes }: Pick<PolicyDeps, 'loads' | 'cache' | 'share' | 'prefixes'>,
  ) {
    this.#prefixes = prefixes;
    this.needs = needsOf(cache);
    this.#cold = new ColdOrder(share);
    this.#settings = settings;
    this.#loads = new FleetLoads(loads);
    this.#matches = new MemberMatches(cache);
  }

  /** Only while there is a table to ask. */
  get prepare(): Policy['prepare'] {
    const prefixes = this.#prefixes;
    if (!prefixes?.isOpen) return undefined;
    return async (ask, pool) => (this.#isCold(ask, pool) ? prefixes.find(ask) : undefined);
  }

  choose(ask: Ask, pool: Pool, prepared?: unknown): Choice {
    this.#chosenFrom = pool.members;
    if (pool.eligible === 0) return NOBODY;
    const blocks = ask.blocks();
    const running = this.#running.of(pool);
    const matches = this.#matches.look(ask, pool);
    const { saved } = matches;
    const columns = this.#loads.read(pool);
    const { slots } = slotsOf(pool);
    const rows = {
      ...{ warmth: saved, saved },
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
      const shared = this.#sharedWith(pool, prepared);
      if (shared !== undefined) return chosen(shared, 'shared_prefix', running, matches);
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
    if (!this.#prefixes || event.type !== 'dispatched') return;
    const worker = this.#chosenFrom.find(({ slot }) => slot === event.slot);
    if (worker) this.#prefixes.sent(event.ask, worker.id);
  }

  /** Whether nobody is known to hold enough of the prompt. */
  #isCold(ask: Ask, pool: Pool): boolean {
    const { saved } = this.#matches.look(ask, pool);
    const enough = this.#settings.cacheThreshold * matchableTokens(ask.blocks());
    return !saved.some((tokens) => tokens > enough);
  }

  /** A name from elsewhere counts only where it is that of a member that may be chosen. */
  #sharedWith({ members, mask }: Pool, prepared: unknown): number | undefined {
    if (typeof prepared !== 'string') return undefined;
    const index = members.findIndex(({ id }) => id === prepared);
    if (index >= 0 && mask[index] === 0) return index;
    this.#prefixes?.stale();
    return undefined;
  }
}

/** Tokens that can match at all: of a prompt beyond the hashing limit, those of the part that is hashed. */
function matchableTokens({ count, tokensPerBlock, totalTokens }: PromptBlocks): number {
  const hashed = count * tokensPerBlock;
  // Less than a block, and a token for rounding, is left over behind the last full block of any other prompt.
  return totalTokens - hashed > tokensPerBlock + 1 ? hashed : totalTokens;
}
