import { isEligible } from './eligible.ts';
import type { LoadView, Pool } from './policy.ts';

/**
 * Consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam 2016): no member takes a request when that
 * would give it more than `bound` times the mean of the eligible ones. The least loaded is always below the limit.
 *
 * @param bound At least 1; undefined = no limit.
 * @returns the number of running requests at which a member is full.
 */
export function loadLimit(pool: Pool, loads: LoadView, bound: number | undefined): number {
  if (bound === undefined) return Infinity;
  let total = 1;
  for (const [index, member] of pool.members.entries()) {
    if (isEligible(pool, index)) total += loads.running(member.slot);
  }
  return Math.ceil((bound * total) / pool.eligible);
}
