/** Told what can be found in a cache, in the order in which it happens. As in vLLM, two blocks may hold the same contents. */
export interface BlockWatcher {
  /** One block more holds these contents. */
  stored(low: number, high: number): void;
  /** One block fewer. */
  removed(low: number, high: number): void;
  /** All contents are gone at once. */
  cleared(): void;
}

/**
 * The KV blocks of one simulated engine, with vLLM's automatic prefix cache: blocks in use are counted, blocks out of use
 * keep their contents in least-recently-used order until somebody needs the room. Hashes are chained pairs of 32-bit
 * words as made by `blockHashes`. Flat arrays throughout: nothing is allocated per block.
 */
export class BlockCache {
  readonly capacity: number;
  /** Blocks that nobody uses, cached contents or not. */
  free: number;
  readonly #refs: Uint32Array;
  /** The free blocks as a ring through the sentinel `capacity`: next of the sentinel is evicted first. */
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  readonly #low: Uint32Array;
  readonly #high: Uint32Array;
  readonly #hashed: Uint8Array;
  /** Hash table with chains: bucket -> first block, block -> next block of the bucket; -1 ends. */
  readonly #buckets: Int32Array;
  readonly #chain: Int32Array;
  readonly #bucketMask: number;
  readonly #watchers: BlockWatcher[] = [];
  /** Scratch of `keep`. */
  readonly #kept: number[] = [];

  constructor(capacity: number) {
    this.capacity = capacity;
    this.free = capacity;
    this.#refs = new Uint32Array(capacity);
    this.#low = new Uint32Array(capacity);
    this.#high = new Uint32Array(capacity);
    this.#hashed = new Uint8Array(capacity);
    this.#chain = new Int32Array(capacity).fill(-1);
    const buckets = 2 ** Math.ceil(Math.log2(Math.max(2, capacity)));
    this.#buckets = new Int32Array(buckets).fill(-1);
    this.#bucketMask = buckets - 1;
    this.#next = new Int32Array(capacity + 1);
    this.#previous = new Int32Array(capacity + 1);
    for (let i = 0; i <= capacity; i++) {
      this.#next[i] = i === capacity ? 0 : i + 1;
      this.#previous[i] = i === 0 ? capacity : i - 1;
    }
  }

  get used(): number {
    return this.capacity - this.free;
  }

  /** Blocks with contents that can be found, in use or not. */
  get held(): number {
    let count = 0;
    for (const hashed of this.#hashed) count += hashed;
    return count;
  }

  watch(watcher: BlockWatcher): void {
    this.#watchers.push(watcher);
  }

  /** Blocks of `hashes` that are cached, one after the other from `from` on and before `limit`. Changes nothing. */
  match(hashes: Uint32Array, limit: number, from = 0): number {
    const end = Math.min(limit, hashes.length >>> 1);
    let index = from;
    while (index < end && this.#find(hashes, index) >= 0) index++;
    return Math.max(0, index - from);
  }

  /**
   * Takes the first `cached` blocks of `hashes` (as just found by `match`) and as many fresh ones as make `total`,
   * appending their numbers to `into`; or takes nothing and returns false when there is no room for the fresh ones.
   */
  take(hashes: Uint32Array, cached: number, total: number, into: number[]): boolean {
    let idle = 0;
    for (let i = 0; i < cached; i++) if (this.#refs[this.#find(hashes, i)] === 0) idle++;
    if (this.free - idle < total - cached) return false;
    for (let i = 0; i < cached; i++) {
      const block = this.#find(hashes, i);
      if (this.#refs[block] === 0) this.#unlink(block);
      this.#refs[block] = (this.#refs[block] ?? 0) + 1;
      into.push(block);
    }
    for (let i = cached; i < total; i++) this.allocate(into);
    return true;
  }

  /** Takes one fresh block, evicting the least recently used contents; false when every block is in use. */
  allocate(into: number[]): boolean {
    if (this.free === 0) return false;
    const block = this.#next[this.capacity] ?? 0;
    this.#unlink(block);
    if (this.#hashed[block] === 1) this.#forget(block);
    this.#refs[block] = 1;
    into.push(block);
    return true;
  }

  /** The block is full: it can be found from now on, behind others with the same contents. */
  seal(block: number, hashes: Uint32Array, index: number): void {
    if (this.#hashed[block] === 1) return;
    const low = hashes[2 * index] ?? 0;
    const high = hashes[2 * index + 1] ?? 0;
    this.#low[block] = low;
    this.#high[block] = high;
    this.#hashed[block] = 1;
    this.#chain[block] = -1;
    const bucket = low & this.#bucketMask;
    let last = this.#buckets[bucket] ?? -1;
    if (last < 0) this.#buckets[bucket] = block;
    else {
      for (let next = this.#chain[last] ?? -1; next >= 0; next = this.#chain[last] ?? -1) last = next;
      this.#chain[last] = block;
    }
    for (const watcher of this.#watchers) watcher.stored(low, high);
  }

  /** Holds contents as the most recently used, in a block that nobody uses: for a tier that only keeps. */
  keep(hashes: Uint32Array, index: number): void {
    const found = this.#find(hashes, index);
    if (found >= 0) {
      this.#unlink(found);
      this.#link(found);
      return;
    }
    this.#kept.length = 0;
    if (!this.allocate(this.#kept)) return;
    this.seal(this.#kept[0] ?? 0, hashes, index);
    this.release(this.#kept);
  }

  /**
   * Gives blocks back, tail first: of one sequence the tail is evicted before the head that others may share. Blocks that
   * cannot be found are the next to be taken, as in vLLM: they hold nothing worth keeping.
   */
  release(blocks: number[]): void {
    for (let i = blocks.length - 1; i >= 0; i--) {
      const block = blocks[i] ?? 0;
      const refs = (this.#refs[block] ?? 0) - 1;
      this.#refs[block] = refs;
      if (refs === 0) this.#link(block);
    }
    blocks.length = 0;
  }

  /** Forgets all cached contents; refused, as in vLLM, while any block is in use. */
  reset(): boolean {
    if (this.used > 0) return false;
    this.#hashed.fill(0);
    this.#buckets.fill(-1);
    for (const watcher of this.#watchers) watcher.cleared();
    return true;
  }

  #find(hashes: Uint32Array, index: number): number {
    const low = hashes[2 * index] ?? 0;
    const high = hashes[2 * index + 1] ?? 0;
    let block = this.#buckets[low & this.#bucketMask] ?? -1;
    while (block >= 0 && (this.#low[block] !== low || this.#high[block] !== high))
      block = this.#chain[block] ?? -1;
    return block;
  }

  #forget(block: number): void {
    const bucket = (this.#low[block] ?? 0) & this.#bucketMask;
    const after = this.#chain[block] ?? -1;
    let at = this.#buckets[bucket] ?? -1;
    if (at === block) {
      this.#buckets[bucket] = after;
    } else {
      while (at >= 0 && this.#chain[at] !== block) at = this.#chain[at] ?? -1;
      if (at >= 0) this.#chain[at] = after;
    }
    this.#hashed[block] = 0;
    for (const watcher of this.#watchers) watcher.removed(this.#low[block] ?? 0, this.#high[block] ?? 0);
  }

  #unlink(block: number): void {
    const next = this.#next[block] ?? 0;
    const previous = this.#previous[block] ?? 0;
    this.#next[previous] = next;
    this.#previous[next] = previous;
    this.free--;
  }

  #link(block: number): void {
    const next = this.#hashed[block] === 1 ? this.capacity : (this.#next[this.capacity] ?? 0);
    const previous = this.#previous[next] ?? 0;
    this.#next[previous] = block;
    this.#previous[block] = previous;
    this.#next[block] = next;
    this.#previous[next] = block;
    this.free++;
  }
}
