import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { randomInt, seededRandom } from '../../base/random.ts';
import { BlockCache } from './block-cache.ts';
import { blockHashes } from './tokens.ts';

/** The same cache in the plainest words: block number -> contents, and the free ones in order of eviction. */
class PlainCache {
  readonly contents = new Map<number, string>();
  readonly refs = new Map<number, number>();
  free: number[];

  constructor(capacity: number) {
    this.free = Array.from({ length: capacity }, (_, i) => i);
  }

  match(keys: readonly string[], limit: number): number[] {
    const found: number[] = [];
    for (const key of keys.slice(0, limit)) {
      const entry = [...this.contents].find(([, contents]) => contents === key);
      if (!entry) break;
      found.push(entry[0]);
    }
    return found;
  }

  take(keys: readonly string[], cached: number, total: number): number[] | undefined {
    const shared = this.match(keys, cached);
    const idle = shared.filter((block) => this.free.includes(block)).length;
    if (this.free.length - idle < total - cached) return undefined;
    for (const block of shared) {
      this.free = this.free.filter((other) => other !== block);
      this.refs.set(block, (this.refs.get(block) ?? 0) + 1);
    }
    const fresh = this.free.splice(0, total - cached);
    for (const block of fresh) {
      this.contents.delete(block);
      this.refs.set(block, 1);
    }
    return [...shared, ...fresh];
  }

  release(blocks: readonly number[]): void {
    for (const block of [...blocks].reverse()) {
      const refs = (this.refs.get(block) ?? 0) - 1;
      this.refs.set(block, refs);
      if (refs > 0) continue;
      if (this.contents.has(block)) this.free.push(block);
      else this.free.unshift(block);
    }
  }
}

function keysOf(hashes: Uint32Array): string[] {
  return Array.from(
    { length: hashes.length / 2 },
    (_, i) => `${hashes[2 * i] ?? 0}:${hashes[2 * i + 1] ?? 0}`,
  );
}

describe('block cache', () => {
  it('does what the plain one does, block by block', () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const random = seededRandom(seed);
        const capacity = 4 + randomInt(random, 30);
        const cache = new BlockCache(capacity);
        const plain = new PlainCache(capacity);
        const held: { blocks: number[]; copy: number[] }[] = [];
        for (let step = 0; step < 120; step++) {
          const prompt = Array.from({ length: 1 + randomInt(random, 20) }, (_, i) =>
            i < 4 ? randomInt(random, 2) : i,
          );
          const hashes = blockHashes(prompt, 2, 0);
          const keys = keysOf(hashes);
          const cached = cache.match(hashes, keys.length);
          assert.equal(cached, plain.match(keys, keys.length).length);
          const total = Math.ceil(prompt.length / 2);
          const blocks: number[] = [];
          const took = cache.take(hashes, cached, total, blocks);
          const expected = plain.take(keys, cached, total);
          assert.equal(took, expected !== undefined);
          assert.deepEqual(blocks, expected ?? []);
          if (expected) {
            for (const [i, key] of keys.entries()) {
              const block = expected[i] ?? 0;
              cache.seal(block, hashes, i);
              if (!plain.contents.has(block)) plain.contents.set(block, key);
            }
            held.push({ blocks, copy: expected });
          }
          assert.equal(cache.free, plain.free.length);
          while (held.length > randomInt(random, 5)) {
            const [gone] = held.splice(randomInt(random, held.length), 1);
            if (!gone) break;
            cache.release(gone.blocks);
            plain.release(gone.copy);
          }
        }
        for (const { blocks } of held) cache.release(blocks);
        assert.equal(cache.used, 0);
      }),
      { numRuns: 60, seed: 1 },
    );
  });

  it('forgets everything on reset, but only when nothing is in use', () => {
    const cache = new BlockCache(8);
    const hashes = blockHashes([1, 2, 3, 4], 2, 0);
    const blocks: number[] = [];
    cache.take(hashes, 0, 2, blocks);
    cache.seal(blocks[0] ?? 0, hashes, 0);
    assert.equal(cache.reset(), false);
    assert.equal(cache.match(hashes, 2), 1);
    cache.release(blocks);
    assert.equal(cache.reset(), true);
    assert.equal(cache.match(hashes, 2), 0);
  });
});
