import type { Random } from '../../base/random.ts';
import { NOBODY, isEligible } from '../eligible.ts';
import type { Choice, Policy, PolicyDeps, Pool } from '../policy.ts';
import { PoolTurns } from '../pool-turns.ts';

/**
 * The next eligible worker in turn. Every pool has its own turn: with one for all, two models asked alternately would
 * each stay on one worker. A retry goes to whoever is next and takes no turn: of two workers, one of which fails, it would
 * otherwise bring the failing one up for every request. A worker that is ramped up is passed over with probability
 * 1 - 1/ramp.
 */
export class RoundRobinPolicy implements Policy {
  readonly name = 'round_robin';
  readonly needs = { cache: false };
  readonly #random: Random;
  /** By pool: the index after the one chosen last. */
  readonly #turns: PoolTurns;

  constructor({ random, share }: Pick<PolicyDeps, 'random' | 'share'>) {
    this.#random = random;
    this.#turns = new PoolTurns(share);
  }

  choose(ask: unknown, pool: Pool): Choice {
    if (pool.isRetry) return this.peek(ask, pool);
    for (;;) {
      if (pool.eligible === 0) return NOBODY;
      const turn = this.#turns.of(pool.key);
      const index = this.#from(turn, pool);
      // Another thread was faster, and that turn is taken: whoever fails here, somebody else has gone on.
      if (this.#turns.take(pool.key, turn, index + 1)) return chosen(index);
    }
  }

  peek(_ask: unknown, pool: Pool): Choice {
    return pool.eligible === 0 ? NOBODY : chosen(this.#from(this.#turns.of(pool.key), pool));
  }

  #from(turn: number, pool: Pool): number {
    const size = pool.members.length;
    const start = turn % size;
    let passedOver = -1;
    for (let step = 0; step < size; step++) {
      const index = (start + step) % size;
      if (!isEligible(pool, index)) continue;
      const ramp = pool.ramp(index);
      if (ramp <= 1 || this.#random() * ramp < 1) return index;
      if (passedOver < 0) passedOver = index;
    }
    return passedOver;
  }
}

function chosen(index: number): Choice {
  return { kind: 'chosen', index, reason: 'next_in_turn' };
}
