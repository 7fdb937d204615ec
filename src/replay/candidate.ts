import type { PolicySettings, Settings } from '../config/settings/settings.ts';
import { knownOptions } from '../request/choose/policies.ts';

/** A configuration that the log is replayed under. */
export interface Candidate {
  readonly name: string;
  readonly policy: PolicySettings;
  /** Blocks of so many tokens that its router remembers per worker. */
  readonly indexBlocks: (blockTokens: number) => number;
  /** Its router hears what engines say of their caches. */
  readonly hearsEvents: boolean;
}

const CHARS_PER_TOKEN = 4;

export function candidateOf(name: string, { policy, cacheIndex }: Settings): Candidate {
  const tokens = cacheIndex.maxCharsPerWorker / CHARS_PER_TOKEN;
  return {
    name,
    policy,
    hearsEvents: hearsEvents(policy),
    indexBlocks: (blockTokens) => Math.max(1, Math.floor(tokens / blockTokens)),
  };
}

/** `kv_aware` is for nothing else, unless it is told otherwise. */
function hearsEvents(policy: PolicySettings): boolean {
  const { knowledge } = knownOptions(policy);
  return knowledge === 'events' || (policy.type === 'kv_aware' && knowledge === 'auto');
}
