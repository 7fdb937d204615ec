import type { Tier } from './kv-event.ts';

/** vLLM's own names first; LMCache and others use names of theirs. */
const MEDIA: readonly (readonly [RegExp, Tier])[] = [
  [/^gpu$|cuda|hbm|device|xpu|npu|tpu/, 'gpu'],
  [/cpu|host|dram/, 'cpu'],
];

/** Many events, few media; a publisher that invents some fills no more than this. */
const MOST_KNOWN = 64;
const known = new Map<string, Tier>();

/**
 * The tier that a `medium` means; without one it is the GPU. A name that is not known is one of storage: the slowest, so that no
 * block counts for more than it is worth.
 */
export function tierOf(medium: string | undefined): Tier {
  if (medium === undefined || medium === 'GPU') return 'gpu';
  const found = known.get(medium);
  if (found !== undefined) return found;
  const name = medium.toLowerCase();
  const tier = MEDIA.find(([pattern]) => pattern.test(name))?.[1] ?? 'disk';
  if (known.size < MOST_KNOWN) known.set(medium, tier);
  return tier;
}
