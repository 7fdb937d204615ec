import { look, reckon } from '../affinity.ts';
import { ColdOrder } from '../cold-order.ts';
import { NOBODY } from '../eligible.ts';
import { FleetLoads, MemberRow, slotsOf } from '../fleet-rows.ts';
import { chosenByMatches as chosen, MemberMatches, needsOf } from '../member-matches.ts';
import type { Ask, Choice, Policy, PolicyDeps, PolicyEvent, Pool } from '../policy.ts';

export interface KvAwareSettings {
  /** Tokens of the blocks that are counted. */
  readonly blockSize: number;
  /** What a block counts for by where it lies. */
  readonly weights: { readonly gpu: number; readonly cpu: number; readonly disk: number };
  /** False: the warmest is taken whatever waits there. */
  readonly loadBounded: boolean;
}

/**
 * The worker whose leading blocks of the prompt weigh most, each by where it lies; where nobody holds any, the least loaded one. Of
 * members that are alike the less loaded is taken, then the one that was given a cold prompt longer ago.
 *
 * Affinity is bounded as in `cache_aware`: when the wait at the warmest worker is expected to cost more than the prefill it saves,
 * the one with the earliest expected first token is taken.
 *
 * `scores` are what the deciding rule compared: running requests (ramped) for `least_loaded_cold`, else seconds to the first token;
 * where affinity is not bounded, what the blocks weigh, below zero as the lowest score is the best.
 */
export class KvAwarePolicy implements Policy {
  readonly name = 'kv_aware';
  /** What engines say of their caches is said in tokens. */
  readonly needs: Policy['needs'];
  readonly #settings: KvAwareSettings;
  readonly #loads: FleetLoads;
  readonly #matches: MemberMatches;
  readonly #cold: ColdOrder;
  readonly #weights = new MemberRow();
  readonly #running = new MemberRow();
  readonly #costs = new MemberRow();

  constructor(
    settings: KvAwareSettings,
    { loads, cache, share }: Pick<PolicyDeps, 'loads' | 'cache' | 'share'>,
  ) {
    this.needs = { ...needsOf(cache), tokens: true };
    this.#settings = settings;
    this.#cold = new ColdOrder(share);
    this.#loads = new FleetLoads(loads);
    this.#matches = new MemberMatches(cache);
  }

  choose(ask: Ask, pool: Pool): Choice {
    if (pool.eligible === 0) return NOBODY;
    const { totalTokens } = ask.blocks();
    const matches = this.#matches.look(ask, pool);
    const columns = this.#loads.read(pool);
    const { slots } = slotsOf(pool);
    const warmth = this.#weigh(matches, pool);
    const running = this.#running.of(pool);
    const costs = this.#costs.of(pool);
    const turns = this.#cold.column(columns.running.length);
    // What a block is worth is what the weights say, whether against another or against a queue.
    const rows = { warmth, saved: warmth, running, costs, turns };
    const { lightest, warmest } = look(slots, columns, rows);
    if (!(warmth[warmest]! > 0)) return chosen(lightest, 'least_loaded_cold', running, matches);
    if (!this.#settings.loadBounded) {
      for (let index = 0; index < costs.length; index++)
        costs[index] = -warmth[index]! / this.#settings.blockSize;
      return chosen(warmest, 'warmest', costs, matches);
    }
    const quickest = reckon(slots, columns, rows, totalTokens);
    if (!(costs[warmest]! > costs[quickest]!)) return chosen(warmest, 'warmest', costs, matches);
    const isAsWarm = warmth[quickest] === warmth[warmest];
    return chosen(quickest, isAsWarm ? 'warmest' : 'affinity_bounded', costs, matches);
  }

  observe(event: PolicyEvent): void {
    this.#cold.observe(event);
  }

  /** What the leading full blocks of each member weigh, in tokens. */
  #weigh({ tokens, knowledge }: MemberMatches, pool: Pool): Float64Array {
    const { blockSize, weights } = this.#settings;
    const weighed = this.#weights.of(pool);
    const tiers = knowledge?.tiers;
    for (let index = 0; index < weighed.length; index++) {
      const cpu = tiers ? Math.floor(tiers.cpu[index]! / blockSize) : 0;
      const disk = tiers ? Math.floor(tiers.disk[index]! / blockSize) : 0;
      const gpu = Math.floor(tokens[index]! / blockSize) - cpu - disk;
      weighed[index] = blockSize * (weights.gpu * gpu + weights.cpu * cpu + weights.disk * disk);
    }
    return weighed;
  }
}
