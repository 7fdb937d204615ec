import { KnownCaches } from '../../cache-knowledge/known-caches.ts';
import { PredictedIndex } from '../../cache-knowledge/predicted-index.ts';
import type { Ask, Choice, PolicyEvent, Pool } from '../../routing/policy.ts';
import { Baseline, type BaselineDeps } from './baseline.ts';
import { lowest } from './lowest.ts';

const ABS_THRESHOLD = 64;
const REL_THRESHOLD = 1.5;
const CACHE_THRESHOLD = 0.3;
/** Millions of blocks: the default `--max-tree-size` of 2^26 characters per worker is more than any trace sends here. */
const TREE_BYTES = 2 ** 27;

/**
 * The two-mode switch of SGLang's router (v0.4) and its descendants: out of balance -> the shortest queue; else, if more
 * than the threshold of the prompt matches, the best match; else the worker with the smallest tree. Thresholds are
 * those of its current flags. As there, the tree is the policy's own and knows nothing of the engines' sizes: what it
 * matches may be long gone, and its size says how much was ever sent to a worker.
 */
export class SglangCacheAware extends Baseline {
  readonly name = 'sglang_cache_aware';
  readonly #tree: PredictedIndex;
  readonly #inTree: KnownCaches;
  readonly #treeTokens: number[] = [];

  constructor(deps: BaselineDeps) {
    super(deps);
    const { clock } = deps;
    this.#tree = new PredictedIndex({ clock, maxBytes: TREE_BYTES, maxBlocksPerWorker: Infinity });
    this.#inTree = new KnownCaches({ predicted: this.#tree });
  }

  choose(ask: Ask, pool: Pool): Choice {
    const { loads } = this.deps;
    let least = Infinity;
    let most = 0;
    for (const [index, { slot }] of pool.members.entries()) {
      if (pool.mask[index] !== 0) continue;
      least = Math.min(least, loads.running(slot));
      most = Math.max(most, loads.running(slot));
    }
    const matchedTokens = this.matched(ask, pool, this.#inTree);
    if (most - least > ABS_THRESHOLD && most > REL_THRESHOLD * least)
      return lowest(pool, (slot) => loads.running(slot), 'shortest_queue', { matchedTokens });
    const best = lowest(pool, (_slot, index) => -(matchedTokens[index] ?? 0), 'best_match', {
      matchedTokens,
    });
    if (best.kind === 'none') return best;
    const rate = (matchedTokens[best.index] ?? 0) / ask.blocks().totalTokens;
    if (rate > CACHE_THRESHOLD) return best;
    return lowest(pool, (slot) => this.#treeTokens[slot] ?? 0, 'smallest_tree', { matchedTokens });
  }

  override observe(event: PolicyEvent): void {
    const { slot } = event;
    if (event.type === 'left') {
      this.#tree.forget(slot);
      this.#treeTokens[slot] = 0;
      return;
    }
    const blocks = event.ask.blocks();
    const before = this.#tree.entriesOf(slot);
    this.#tree.record(blocks, slot);
    // The part of a prompt behind its last full block is in the tree too, and nobody else's.
    const grown = (this.#tree.entriesOf(slot) - before) * blocks.tokensPerBlock;
    const tail = blocks.totalTokens - blocks.count * blocks.tokensPerBlock;
    this.#treeTokens[slot] = (this.#treeTokens[slot] ?? 0) + grown + Math.max(0, tail);
  }
}
