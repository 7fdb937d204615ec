import { BlockCache } from '../../sim/engine/block-cache.ts';
import type { Trace, TraceRequest } from '../traces/trace.ts';
import { BlockSet } from './block-set.ts';

/** Cached shares of all prompt tokens to hold a policy's against. */
export interface Oracle {
  /** One cache of all workers' size, least recently used out first: what placement loses by parting it. */
  readonly oneCache: number;
  /** What no placement can beat, however large the caches are: every block has to be computed once. */
  readonly unlimited: number;
}

/** Hit rates of the trace's prompts; for `oneCache` in their order, as if each were computed at once. */
export function oracleHitRates(trace: Trace, totalBlocks: number): Oracle {
  const { requests, blockSize } = trace;
  const distinct = new BlockSet();
  const recomputed = new BlockSet();
  let promptTokens = 0;
  let reusable = 0;
  let longest = 0;
  for (const request of requests) {
    const { hashes, count } = request.blocks;
    const limit = reusableBlocks(request, blockSize);
    for (let index = 0; index < count; index += 1) distinct.add(hashes, index);
    // Whoever computes its last block anyway does so for all who follow.
    for (let index = limit; index < count; index += 1) recomputed.add(hashes, index);
    promptTokens += request.promptTokens;
    reusable += limit;
    longest = Math.max(longest, count);
  }
  if (promptTokens === 0) return { oneCache: 0, unlimited: 0 };
  // A cache that holds everything behaves as any larger one.
  const enough = Math.max(1, distinct.size) + longest;
  return {
    oneCache: (blockSize * hitBlocks(trace, Math.min(totalBlocks, enough))) / promptTokens,
    unlimited: (blockSize * (reusable - (distinct.size - recomputed.size))) / promptTokens,
  };
}

/** Blocks that can be found cached: as in an engine, the last token of a prompt is computed even when all of it is. */
function reusableBlocks({ promptTokens, blocks }: TraceRequest, blockSize: number): number {
  return Math.min(blocks.count, Math.floor((promptTokens - 1) / blockSize));
}

function hitBlocks({ requests, blockSize }: Trace, capacity: number): number {
  const cache = new BlockCache(capacity);
  const taken: number[] = [];
  let hit = 0;
  for (const request of requests) {
    const { hashes, count } = request.blocks;
    const cached = cache.match(hashes, reusableBlocks(request, blockSize));
    hit += cached;
    if (!cache.take(hashes, cached, Math.min(count, capacity), taken)) continue;
    for (let index = cached; index < taken.length; index += 1) {
      const block = taken[index];
      if (block !== undefined) cache.seal(block, hashes, index);
    }
    cache.release(taken);
  }
  return hit;
}
