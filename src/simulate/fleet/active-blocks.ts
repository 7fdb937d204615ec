import type { PromptBlocks } from '../../routing/blocks.ts';

/** The distinct prompt blocks that the requests of one router hold on each worker: one that several share counts once. */
export class ActiveBlocks {
  /** By slot: how many running requests hold a block. The key is 53 of its hash's 64 bits. */
  readonly #holders: Map<number, number>[] = [];

  add(slot: number, { hashes, count }: PromptBlocks): void {
    const holders = (this.#holders[slot] ??= new Map());
    for (let index = 0; index < count; index += 1) {
      const key = keyAt(hashes, index);
      holders.set(key, (holders.get(key) ?? 0) + 1);
    }
  }

  remove(slot: number, { hashes, count }: PromptBlocks): void {
    const holders = this.#holders[slot];
    if (holders === undefined) return;
    for (let index = 0; index < count; index += 1) {
      const key = keyAt(hashes, index);
      const left = (holders.get(key) ?? 0) - 1;
      if (left > 0) holders.set(key, left);
      else holders.delete(key);
    }
  }

  /**
   * Distinct blocks held there if this prompt were sent there too. A hash stands for all of the prompt up to its block, so
   * who holds a block holds those before it: where the known part ends is found by halving.
   */
  with(slot: number, { hashes, count }: PromptBlocks): number {
    const holders = this.#holders[slot];
    if (holders === undefined) return count;
    let known = 0;
    let unknown = count;
    while (known < unknown) {
      const middle = (known + unknown) >> 1;
      if (holders.has(keyAt(hashes, middle))) known = middle + 1;
      else unknown = middle;
    }
    return holders.size + count - known;
  }
}

function keyAt(hashes: Uint32Array, index: number): number {
  return (hashes[2 * index] ?? 0) * 2 ** 21 + ((hashes[2 * index + 1] ?? 0) >>> 11);
}
