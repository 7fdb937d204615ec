import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import { noCache, type PredictedIndex } from '../cache-knowledge/predicted-index.ts';
import type { PolicySettings } from '../config/settings.ts';
import { createPolicy } from '../routing/policies/index.ts';
import type { LoadView, Policy } from '../routing/policy.ts';

export interface ActivePolicyDeps {
  readonly loads: LoadView;
  readonly clock: Clock;
  readonly random: Random;
  readonly openIndex: () => PredictedIndex;
}

/**
 * The policy that new requests get, which can be switched while the router runs, and the predicted index it looks at.
 * The index lives on from one policy to the next as long as both look at it; whatever else a policy has learnt (pinned
 * sessions, turns) begins anew with its successor.
 */
export class ActivePolicy {
  readonly #deps: ActivePolicyDeps;
  #settings: PolicySettings;
  #index: PredictedIndex | undefined;
  #policy: Policy;

  constructor(settings: PolicySettings, deps: ActivePolicyDeps) {
    this.#deps = deps;
    this.#settings = settings;
    this.#policy = this.#create(settings);
  }

  get policy(): Policy {
    return this.#policy;
  }

  get settings(): PolicySettings {
    return this.#settings;
  }

  /** Kept only for policies that need it. */
  get index(): PredictedIndex | undefined {
    return this.#index;
  }

  /** False, and nothing is touched, when that is the policy already. */
  switchTo(settings: PolicySettings): boolean {
    if (isDeepStrictEqual(settings, this.#settings)) return false;
    this.#policy = this.#create(settings);
    this.#settings = settings;
    // It would be filled with every request for nobody, and be stale when somebody looks again.
    if (!this.#policy.needs.cache) this.#index = undefined;
    return true;
  }

  /** A policy for one look: it sees the real loads and the index as it is, and has no memory of its own yet. */
  trial(settings: PolicySettings): Policy {
    return createPolicy(settings, { ...this.#deps, cache: this.#index ?? noCache });
  }

  #create(settings: PolicySettings): Policy {
    const { loads, clock, random } = this.#deps;
    const indexOf = (): PredictedIndex => (this.#index ??= this.#deps.openIndex());
    return createPolicy(settings, {
      loads,
      clock,
      random,
      // Made for the policy that takes it; the others do without its memory.
      get cache() {
        return indexOf();
      },
    });
  }
}
