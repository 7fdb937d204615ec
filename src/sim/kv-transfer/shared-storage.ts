import { BlockCache } from '../engine/block-cache.ts';

/** Blocks that all workers of this process share, as others share a file system. */
const SHARED = new BlockCache(2 ** 18);

export function save(hashes: Uint32Array): void {
  // The tail first: of one prompt the head stays longest.
  for (let i = (hashes.length >>> 1) - 1; i >= 0; i--) SHARED.keep(hashes, i);
}

/** What is there of these blocks comes into the cache. */
export function load(hashes: Uint32Array, into: BlockCache): void {
  const found = SHARED.match(hashes, hashes.length >>> 1);
  for (let i = found - 1; i >= 0; i--) into.keep(hashes, i);
}
