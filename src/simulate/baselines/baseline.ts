import type { Ask, CacheView, Choice, Policy, PolicyDeps, PolicyEvent, Pool } from '../../routing/policy.ts';
import type { FleetView } from '../fleet/fleet-view.ts';

/** What a formula of the field is made from: what our own policies have, and what theirs read beside it. */
export type BaselineDeps = PolicyDeps & FleetView;

/** A policy of another router, for comparison in the simulator only. */
export abstract class Baseline implements Policy {
  abstract readonly name: string;
  readonly needs = { cache: true };
  protected readonly deps: BaselineDeps;

  constructor(deps: BaselineDeps) {
    this.deps = deps;
  }

  abstract choose(ask: Ask, pool: Pool): Choice;

  observe?(event: PolicyEvent): void;

  /** Cached tokens per member; NaN for those that may not be chosen. */
  protected matched(ask: Ask, pool: Pool, cache: CacheView = this.deps.cache): Float64Array {
    const tokens = new Float64Array(pool.members.length).fill(NaN);
    for (const [index, { slot }] of pool.members.entries())
      if (pool.mask[index] === 0) tokens[index] = cache.match(ask, slot).tokens;
    return tokens;
  }
}
