import { isEligible, NOBODY } from '../../routing/eligible.ts';
import { randomInt, type Random } from '../../base/random.ts';
import type { Choice, Pool } from '../../routing/policy.ts';

/** The eligible member with the lowest score; of several the first, or by lot where `random` is given. */
export function lowest(
  pool: Pool,
  scoreOf: (slot: number, index: number) => number,
  reason: string,
  options: { readonly random?: Random; readonly matchedTokens?: Float64Array } = {},
): Choice {
  const scores = new Float64Array(pool.members.length).fill(NaN);
  let best = -1;
  let ties = 0;
  for (const [index, { slot }] of pool.members.entries()) {
    if (!isEligible(pool, index)) continue;
    const score = (scores[index] = scoreOf(slot, index));
    const lowestSoFar = best < 0 ? Infinity : (scores[best] ?? Infinity);
    if (score < lowestSoFar || best < 0) {
      best = index;
      ties = 1;
    } else if (score === lowestSoFar && options.random) {
      ties += 1;
      if (randomInt(options.random, ties) === 0) best = index;
    }
  }
  if (best < 0) return NOBODY;
  const { matchedTokens } = options;
  return { kind: 'chosen', index: best, reason, scores, ...(matchedTokens && { matchedTokens }) };
}
