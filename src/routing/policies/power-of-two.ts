import { randomInt, type Random } from '../../base/random.ts';
import { NOBODY, nthEligible, rampedLoad } from '../eligible.ts';
import type { Choice, LoadView, Policy, PolicyDeps, Pool } from '../policy.ts';

/** Of two different eligible workers drawn at random, the one with fewer running requests; the first drawn on a tie. */
export class PowerOfTwoPolicy implements Policy {
  readonly name = 'power_of_two';
  readonly needs = { cache: false };
  readonly #random: Random;
  readonly #loads: LoadView;

  constructor({ random, loads }: Pick<PolicyDeps, 'random' | 'loads'>) {
    this.#random = random;
    this.#loads = loads;
  }

  choose(_ask: unknown, pool: Pool): Choice {
    if (pool.eligible === 0) return NOBODY;
    if (pool.eligible === 1) return { kind: 'chosen', index: nthEligible(pool, 0), reason: 'only_one' };
    const firstRank = randomInt(this.#random, pool.eligible);
    const otherRank = randomInt(this.#random, pool.eligible - 1);
    const first = nthEligible(pool, firstRank);
    const second = nthEligible(pool, otherRank < firstRank ? otherRank : otherRank + 1);
    const scores = new Float64Array(pool.members.length).fill(NaN);
    const firstLoad = (scores[first] = rampedLoad(pool, this.#loads, first));
    const secondLoad = (scores[second] = rampedLoad(pool, this.#loads, second));
    return { kind: 'chosen', index: secondLoad < firstLoad ? second : first, reason: 'lower_of_two', scores };
  }
}
