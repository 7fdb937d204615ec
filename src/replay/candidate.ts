import type { KvEventSettings } from '../config/settings/kv-events.ts';
import type { PolicySettings, Settings } from '../config/settings/settings.ts';
import { knownOptions } from '../request/choose/policy-caches.ts';

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

export function candidateOf(name: string, { policy, cacheIndex, kvEvents }: Settings): Candidate {
  const tokens = cacheIndex.maxCharsPerWorker / CHARS_PER_TOKEN;
  return {
    name,
    policy,
    hearsEvents: goesByEvents(policy) && isFollowing(kvEvents),
    indexBlocks: (blockTokens) => Math.max(1, Math.floor(tokens / blockTokens)),
  };
}

function goesByEvents(policy: PolicySettings): boolean {
  const { knowledge } = knownOptions(policy);
  return knowledge === 'events' || knowledge === 'auto';
}

/** Whether it says itself whose events are followed: what workers say of that, beside it, is not in the log. */
function isFollowing({ follows, bind, endpoints }: KvEventSettings): boolean {
  return follows === 'all' || (follows === 'known' && (bind !== undefined || endpoints.size > 0));
}
