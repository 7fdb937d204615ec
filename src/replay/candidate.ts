import type { PolicySettings, Settings } from '../config/settings/settings.ts';

/** A configuration that the log is replayed under. */
export interface Candidate {
  readonly name: string;
  readonly policy: PolicySettings;
  /** Blocks of so many tokens that its router remembers per worker. */
  readonly indexBlocks: (blockTokens: number) => number;
}

const CHARS_PER_TOKEN = 4;

export function candidateOf(name: string, { policy, cacheIndex }: Settings): Candidate {
  const tokens = cacheIndex.maxCharsPerWorker / CHARS_PER_TOKEN;
  return {
    name,
    policy,
    indexBlocks: (blockTokens) => Math.max(1, Math.floor(tokens / blockTokens)),
  };
}
