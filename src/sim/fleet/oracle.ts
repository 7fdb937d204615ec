import { BlockCache } from '../block-cache.ts';
import type { Trace } from '../traces/trace.ts';

/** Cached share of all prompt tokens that no placement can beat. */
export interface Oracle {
  /** One cache of all workers' size, least recently used out first. */
  readonly oneCache: number;
  /** One cache that never forgets. */
  readonly unlimited: number;
}

/** Hit rates of the trace's prompts in their order, as if each were computed at once. */
export function oracleHitRates(trace: Trace, totalBlocks: number): Oracle {
  const distinct = distinctBlocks(trace);
  return {
    oneCache: hitRate(trace, totalBlocks),
    unlimited: hitRate(trace, Math.max(1, distinct) + longestPrompt(trace)),
  };
}

function hitRate({ requests, blockSize }: Trace, capacity: number): number {
  const cache = new BlockCache(capacity);
  let hit = 0;
  let total = 0;
  for (const { blocks, promptTokens } of requests) {
    total += promptTokens;
    // As in an engine, the last token of a prompt is computed even when all of it is cached.
    const cached = cache.match(blocks.hashes, Math.floor((promptTokens - 1) / blockSize));
    hit += cached * blockSize;
    const taken: number[] = [];
    if (!cache.take(blocks.hashes, cached, Math.min(blocks.count, capacity), taken)) continue;
    for (let index = cached; index < taken.length; index += 1) {
      const block = taken[index];
      if (block !== undefined) cache.seal(block, blocks.hashes, index);
    }
    cache.release(taken);
  }
  return total === 0 ? 0 : hit / total;
}

function distinctBlocks({ requests }: Trace): number {
  const seen = new Set<number>();
  for (const { blocks } of requests) {
    for (let index = 0; index < blocks.count; index += 1) {
      const low = blocks.hashes[2 * index] ?? 0;
      const high = blocks.hashes[2 * index + 1] ?? 0;
      seen.add(low * 2 ** 21 + (high >>> 11));
    }
  }
  return seen.size;
}

function longestPrompt({ requests }: Trace): number {
  return requests.reduce((longest, { blocks }) => Math.max(longest, blocks.count), 0);
}
