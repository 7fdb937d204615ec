import { hash53 } from '../../base/hash.ts';
import { NOBODY, isEligible } from '../eligible.ts';
import { loadLimit } from '../load-bound.ts';
import { PerPool } from '../per-pool.ts';
import type { Ask, Choice, LoadView, Policy, PolicyDeps, Pool } from '../policy.ts';
import { Rendezvous } from '../rendezvous.ts';

export interface RendezvousHashSettings {
  /** Highest load relative to the mean, at least 1; undefined = unbounded. */
  readonly loadBound: number | undefined;
}

/** The worker with the highest draw for the request's key; while it may not be chosen, the one with the next draw. */
export class RendezvousHashPolicy implements Policy {
  readonly name = 'rendezvous_hash';
  readonly needs = { cache: false };
  readonly #settings: RendezvousHashSettings;
  readonly #loads: LoadView;
  readonly #draws = new PerPool((pool) => new Rendezvous(pool.members));

  constructor(settings: RendezvousHashSettings, { loads }: Pick<PolicyDeps, 'loads'>) {
    this.#settings = settings;
    this.#loads = loads;
  }

  choose(ask: Ask, pool: Pool): Choice {
    if (pool.eligible === 0) return NOBODY;
    const key = ask.hashKey();
    const draws = this.#draws.get(pool);
    const hash = hash53(`${key.source}:${key.value}`);
    const limit = loadLimit(pool, this.#loads, this.#settings.loadBound);
    const owner = draws.find(hash, () => true);
    if (this.#accepts(pool, owner, limit)) return { kind: 'chosen', index: owner, reason: 'highest_draw' };
    const index = draws.find(hash, (candidate) => this.#accepts(pool, candidate, limit));
    return { kind: 'chosen', index, reason: isEligible(pool, owner) ? 'load_bound' : 'next_draw' };
  }

  #accepts(pool: Pool, index: number, limit: number): boolean {
    if (!isEligible(pool, index)) return false;
    const member = pool.members[index];
    return limit === Infinity || (member !== undefined && this.#loads.running(member.slot) < limit);
  }
}
