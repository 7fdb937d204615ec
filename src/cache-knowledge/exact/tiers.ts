import type { Tier } from '../events/kv-event.ts';

/**
 * Where a block is, as bits of an entry: how many copies the GPU has, as an engine that computes one block twice keeps it twice and
 * tells of either; and whether there is one on the CPU and on disk.
 */
export const COPY = 1 << 12;
export const GPU = 15 * COPY;
export const CPU = 1 << 16;
export const DISK = 1 << 17;
export const TIERS = GPU | CPU | DISK;

/** The same where one came to a tier. More copies than can be counted are as many as can be. */
export function withTier(tiers: number, tier: Tier): number {
  if (tier === 'gpu') return (tiers & GPU) === GPU ? tiers : tiers + COPY;
  return tiers | (tier === 'cpu' ? CPU : DISK);
}

/** The same where one left a tier; unchanged where there was none. */
export function withoutTier(tiers: number, tier: Tier): number {
  if (tier === 'gpu') return (tiers & GPU) === 0 ? tiers : tiers - COPY;
  return tiers & ~(tier === 'cpu' ? CPU : DISK);
}

/** Held, but not on the GPU. */
export function isAway(tiers: number): boolean {
  return tiers !== 0 && (tiers & GPU) === 0;
}
