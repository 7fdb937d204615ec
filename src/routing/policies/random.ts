import { NOBODY, isEligible, nthEligible } from '../eligible.ts';
import type { Choice, Policy, PolicyDeps, Pool } from '../policy.ts';
import { randomInt, type Random } from '../../base/random.ts';

/** Any eligible worker with the same probability; one that is ramped up with 1/ramp of it. */
export class RandomPolicy implements Policy {
  readonly name = 'random';
  readonly needs = { cache: false };
  readonly #random: Random;

  constructor({ random }: Pick<PolicyDeps, 'random'>) {
    this.#random = random;
  }

  choose(_ask: unknown, pool: Pool): Choice {
    if (pool.eligible === 0) return NOBODY;
    let weight = 0;
    for (let index = 0; index < pool.members.length; index++) {
      if (isEligible(pool, index)) weight += 1 / pool.ramp(index);
    }
    if (weight === pool.eligible) return chosen(nthEligible(pool, randomInt(this.#random, pool.eligible)));
    let left = this.#random() * weight;
    let last = -1;
    for (let index = 0; index < pool.members.length; index++) {
      if (!isEligible(pool, index)) continue;
      last = index;
      left -= 1 / pool.ramp(index);
      if (left < 0) break;
    }
    return chosen(last);
  }
}

function chosen(index: number): Choice {
  return { kind: 'chosen', index, reason: 'random' };
}
