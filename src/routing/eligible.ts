import type { Choice, LoadView, Pool } from './policy.ts';

/** The answer of every policy when the mask leaves nobody. */
export const NOBODY: Choice = { kind: 'none', reason: 'no_eligible_worker' };

export function isEligible(pool: Pool, index: number): boolean {
  return pool.mask[index] === 0;
}

/** Index of the eligible member with `rank` eligible ones before it; -1 when there is none. */
export function nthEligible(pool: Pool, rank: number): number {
  const { mask } = pool;
  if (pool.eligible === mask.length) return rank < mask.length ? rank : -1;
  let before = rank;
  for (let index = 0; index < mask.length; index++) {
    if (mask[index] === 0 && before-- === 0) return index;
  }
  return -1;
}

/** Running requests of member `index`, multiplied while it is ramped up. Infinite for a member that is not there. */
export function rampedLoad(pool: Pool, loads: LoadView, index: number): number {
  const member = pool.members[index];
  return member === undefined ? Infinity : loads.running(member.slot) * pool.ramp(index);
}
