import { LRUCache } from 'lru-cache';
import type { Random } from '../../base/random.ts';
import { NOBODY, isEligible } from '../eligible.ts';
import type { Choice, Policy, PolicyDeps, Pool } from '../policy.ts';

const MAX_POOLS = 1024;

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
  readonly #turns = new LRUCache<string, number>({ max: MAX_POOLS });

  constructor({ random }: Pick<PolicyDeps, 'random'>) {
    this.#random = random;
  }

  choose(ask: unknown, pool: Pool): Choice {
    const choice = this.peek(ask, pool);
    if (choice.kind === 'chosen' && !pool.isRetry) this.#turns.set(pool.key, choice.index + 1);
    return choice;
  }

  peek(_ask: unknown, pool: Pool): Choice {
    if (pool.eligible === 0) return NOBODY;
    const size = pool.members.length;
    const start = (this.#turns.get(pool.key) ?? 0) % size;
    let passedOver = -1;
    for (let step = 0; step < size; step++) {
      const index = (start + step) % size;
      if (!isEligible(pool, index)) continue;
      const ramp = pool.ramp(index);
      if (ramp <= 1 || this.#random() * ramp < 1) return chosen(index);
      if (passedOver < 0) passedOver = index;
    }
    return chosen(passedOver);
  }
}

function chosen(index: number): Choice {
  return { kind: 'chosen', index, reason: 'next_in_turn' };
}
