import { hash53, mix53 } from '../../base/hash.ts';
import { NOBODY, isEligible } from '../eligible.ts';
import { HashRing } from '../hash-ring.ts';
import { loadLimit } from '../load-bound.ts';
import { PerPool } from '../per-pool.ts';
import type { Ask, Choice, LoadView, Policy, PolicyDeps, Pool } from '../policy.ts';
import { StickyPins } from '../sticky-pins.ts';

export interface ConsistentHashSettings {
  /** Points per worker on the ring. */
  readonly virtualNodes: number;
  /** Highest load relative to the mean, at least 1; undefined = unbounded. */
  readonly loadBound: number | undefined;
  /** How long an unused session stays pinned. */
  readonly stickyTtlMs: number;
}

interface PoolRing {
  readonly ring: HashRing;
  readonly indexOfId: ReadonlyMap<string, number>;
  readonly poolHash: number;
  readonly bytes: number;
}

/**
 * The worker that owns the request's key on a ring; while it may not be chosen, the next ones clockwise. Keys that
 * name a conversation or a user are pinned to the owner that served them first, so that scaling out moves new
 * sessions only.
 */
export class ConsistentHashPolicy implements Policy {
  readonly name = 'consistent_hash';
  readonly needs = { cache: false };
  readonly #settings: ConsistentHashSettings;
  readonly #loads: LoadView;
  readonly #pins: StickyPins;
  readonly #rings: PerPool<PoolRing>;

  constructor(
    settings: ConsistentHashSettings,
    { loads, clock, share }: Pick<PolicyDeps, 'loads' | 'clock' | 'share'>,
  ) {
    this.#settings = settings;
    this.#loads = loads;
    this.#pins = new StickyPins(clock, settings.stickyTtlMs, { link: share?.pins });
    this.#rings = new PerPool<PoolRing>((pool, previous) => {
      const ring = new HashRing(pool.members, settings.virtualNodes, previous?.ring);
      const indexOfId = new Map(pool.members.map((member, index) => [member.id, index]));
      return {
        ring,
        indexOfId,
        poolHash: hash53(pool.key),
        bytes: ring.bytes + 64 * indexOfId.size,
      };
    });
  }

  choose(ask: Ask, pool: Pool): Choice {
    return this.#choose(ask, pool, true);
  }

  peek(ask: Ask, pool: Pool): Choice {
    return this.#choose(ask, pool, false);
  }

  #choose(ask: Ask, pool: Pool, remember: boolean): Choice {
    if (pool.eligible === 0) return NOBODY;
    const key = ask.hashKey();
    const { ring, indexOfId, poolHash } = this.#rings.get(pool);
    const hash = hash53(`${key.source}:${key.value}`);
    const limit = loadLimit(pool, this.#loads, this.#settings.loadBound);
    const accepts = (index: number): boolean =>
      isEligible(pool, index) && (limit === Infinity || this.#running(pool, index) < limit);

    // One session may use several models, each with its own home.
    const pin = key.sticky ? mix53(hash, poolHash) : 0;
    if (key.sticky) {
      const home = this.#pins.get(pin);
      const index = home === undefined ? undefined : indexOfId.get(home);
      if (home !== undefined && index !== undefined && accepts(index)) {
        if (remember) this.#pins.keep(pin, home);
        return { kind: 'chosen', index, reason: 'sticky' };
      }
    }

    const owner = ring.owner(hash);
    if (accepts(owner)) {
      const worker = pool.members[owner];
      if (remember && key.sticky && worker !== undefined) this.#pins.keep(pin, worker.id);
      return { kind: 'chosen', index: owner, reason: 'ring_owner' };
    }
    const index = ring.find(hash, accepts);
    return { kind: 'chosen', index, reason: isEligible(pool, owner) ? 'load_bound' : 'ring_next' };
  }

  #running(pool: Pool, index: number): number {
    const member = pool.members[index];
    return member === undefined ? Infinity : this.#loads.running(member.slot);
  }
}
