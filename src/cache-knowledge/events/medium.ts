import type { Tier } from './kv-event.ts';

const TIERS: readonly (readonly [RegExp, Tier])[] = [
  [/gpu|cuda|hbm|device|xpu|npu|tpu/, 'gpu'],
  [/cpu|host|dram/, 'cpu'],
];

/** Many events, few media; a publisher that invents some fills no more than this. */
const MOST_KNOWN = 64;
const known = new Map<string, Tier>();

/**
 * The tier that a `medium` means which is none of vLLM's own: LMCache and others have names of theirs. One that is not known is
 * taken for storage: the slowest, so that no block counts for more than it is worth.
 */
export function tierOf(medium: string): Tier {
  const found = known.get(medium);
  if (found !== undefined) return found;
  const name = medium.toLowerCase();
  const tier = TIERS.find(([pattern]) => pattern.test(name))?.[1] ?? 'disk';
  if (known.size < MOST_KNOWN) known.set(medium, tier);
  return tier;
}
