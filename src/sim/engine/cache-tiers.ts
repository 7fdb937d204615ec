import { BlockCache } from './block-cache.ts';
import type { ModelSettings } from './model-settings.ts';
import type { ScheduleObserver } from './schedule-observer.ts';
import type { Sequence } from './sequence.ts';

/** The caches of one engine, in the order in which they are asked. */
export class CacheTiers {
  readonly gpu: BlockCache;
  /** Where full blocks are copied to and loaded back from; undefined without `cpuBlocks`. */
  readonly cpu: BlockCache | undefined;
  observer: ScheduleObserver | undefined;
  readonly #blockSize: number;
  readonly #caches: boolean;

  constructor({ blocks, cpuBlocks, blockSize, prefixCaching }: ModelSettings) {
    this.gpu = new BlockCache(blocks);
    this.cpu = cpuBlocks > 0 ? new BlockCache(cpuBlocks) : undefined;
    this.#blockSize = blockSize;
    this.#caches = prefixCaching;
  }

  /** Blocks of the sequence that are held already, those on the CPU behind those on the GPU. */
  lookUp({ ask, tokens, incoming }: Sequence): { readonly onGpu: number; readonly onCpu: number } {
    if (!this.#caches) return { onGpu: 0, onCpu: 0 };
    // At least one token is computed, as in vLLM: a hit gives keys and values, not the next token.
    const reusable = Math.floor((tokens - 1) / this.#blockSize);
    const onGpu = this.gpu.match(ask.hashes, reusable);
    return { onGpu, onCpu: (!incoming && this.cpu?.match(ask.hashes, reusable, onGpu)) || 0 };
  }

  /**
   * Blocks that `tokens` more tokens behind the first `computed` will fill can be found at once, as in vLLM: whoever is
   * scheduled later in the same step shares them already.
   */
  seal(sequence: Sequence, computed: number, tokens: number): void {
    if (!this.#caches) return;
    const { hashes } = sequence.ask;
    const known = hashes.length >>> 1;
    // Most steps bring a token behind the last block that has a hash.
    if (computed >= known * this.#blockSize) return;
    const from = Math.floor(computed / this.#blockSize);
    const to = Math.min(Math.floor((computed + tokens) / this.#blockSize), known);
    if (from >= to) return;
    this.observer?.filled(sequence, from, to);
    for (let i = from; i < to; i++) {
      const block = sequence.blocks[i];
      if (block !== undefined) this.gpu.seal(block, hashes, i);
    }
    // The tail first: of one prompt the head stays longest.
    for (let i = to - 1; i >= from; i--) this.cpu?.keep(hashes, i);
  }

  /** What was found on the GPU is used on the CPU as well. */
  touchOnCpu({ ask }: Sequence, blocks: number): void {
    for (let i = blocks - 1; i >= 0; i--) this.cpu?.keep(ask.hashes, i);
  }
}
