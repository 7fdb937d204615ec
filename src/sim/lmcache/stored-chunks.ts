import type { BlockCache } from '../engine/block-cache.ts';

const WORD = 2 ** 32;
/** Of the high word, so that both fit into a number. */
const HIGH_BITS = 0x1f_ffff;

/**
 * What the CPU caches of simulated workers hold, as LMCache's controller is told of it: chunks of many blocks, and of each who holds it
 * in the order in which they said so. A chunk is known by its last block, whose hash covers all before it.
 */
export class StoredChunks {
  readonly blocksPerChunk: number;
  /** By block: how many caches of each instance hold it. */
  readonly #holders = new Map<number, Map<string, number>>();
  readonly #blocks = new Map<string, number>();

  constructor(blocksPerChunk: number) {
    if (!(Number.isInteger(blocksPerChunk) && blocksPerChunk > 0))
      throw new RangeError('a chunk is a whole number of blocks');
    this.blocksPerChunk = blocksPerChunk;
  }

  /** From now on the instance registers what comes into the cache. */
  follow(instance: string, cache: BlockCache): void {
    this.#blocks.set(instance, this.#blocks.get(instance) ?? 0);
    const own = new Map<number, number>();
    const add = (block: number, change: 1 | -1): void => {
      const count = (own.get(block) ?? 0) + change;
      if (count > 0) own.set(block, count);
      else own.delete(block);
      this.#count(block, instance, change);
    };
    cache.watch({
      stored: (low, high) => {
        add(keyOf(low, high), 1);
      },
      removed: (low, high) => {
        add(keyOf(low, high), -1);
      },
      cleared: () => {
        for (const [block, count] of own) for (let i = 0; i < count; i++) this.#count(block, instance, -1);
        own.clear();
      },
    });
  }

  /** Chunks of an instance, as far as blocks tell. */
  chunksOf(instance: string): number {
    return Math.floor((this.#blocks.get(instance) ?? 0) / this.blocksPerChunk);
  }

  /** Who holds each chunk of a chain of blocks, whole chunks only, the first registered first. */
  holders(hashes: Uint32Array): readonly (readonly string[])[] {
    const chunks = Math.floor(hashes.length / 2 / this.blocksPerChunk);
    return Array.from({ length: chunks }, (_, chunk) => {
      const last = (chunk + 1) * this.blocksPerChunk - 1;
      return [...(this.#holders.get(keyOf(hashes[2 * last]!, hashes[2 * last + 1]!))?.keys() ?? [])];
    });
  }

  #count(block: number, instance: string, change: 1 | -1): void {
    const holders = this.#holders.get(block) ?? new Map<string, number>();
    const count = (holders.get(instance) ?? 0) + change;
    if (count > 0) holders.set(instance, count);
    else holders.delete(instance);
    if (holders.size > 0) this.#holders.set(block, holders);
    else this.#holders.delete(block);
    this.#blocks.set(instance, (this.#blocks.get(instance) ?? 0) + change);
  }
}

function keyOf(low: number, high: number): number {
  return (high & HIGH_BITS) * WORD + low;
}
