import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { blocksFromHashIds } from '../../routing/hash-ids.ts';
import type { Trace } from '../traces/trace.ts';
import { BlockSet } from './block-set.ts';
import { oracleHitRates } from './oracle.ts';

const BLOCK = 10;

/** Prompts of full blocks with these ids, and so many tokens behind them. */
function traceOf(...prompts: readonly (readonly [ids: readonly number[], rest: number])[]): Trace {
  const requests = prompts.map(([ids, rest], at) => {
    const promptTokens = ids.length * BLOCK + rest;
    const blocks = blocksFromHashIds(ids, BLOCK, promptTokens);
    return { at, promptTokens, outputTokens: 1, blocks, session: undefined };
  });
  return { name: 'hand-made', requests, blockSize: BLOCK };
}

describe('the oracle', () => {
  it('computes every block once', () => {
    const trace = traceOf([[1, 2], 5], [[1, 2], 5], [[1, 3], 5]);
    // 2 + 1 of 6 blocks are found again; 75 tokens in all.
    assert.deepEqual(oracleHitRates(trace, 100), { oneCache: 30 / 75, unlimited: 30 / 75 });
  });

  it('computes the last token of a prompt that is cached as a whole', () => {
    const trace = traceOf([[1, 2], 0], [[1, 2], 0]);
    assert.deepEqual(oracleHitRates(trace, 100), { oneCache: 10 / 40, unlimited: 10 / 40 });
  });

  it('forgets what one cache of that size has no room for, and only there', () => {
    const trace = traceOf([[1, 2], 5], [[3, 4], 5], [[1, 2], 5]);
    assert.deepEqual(oracleHitRates(trace, 2), { oneCache: 0, unlimited: 20 / 75 });
    assert.equal(oracleHitRates(trace, 4).oneCache, 20 / 75);
  });

  it('does not depend on the order without a limit', () => {
    // The short prompt computes its last block anyway: behind the long one it gives nothing, before it a hit.
    const [short, long] = [[[1, 2], 0] as const, [[1, 2, 3], 5] as const];
    assert.equal(oracleHitRates(traceOf(short, long), 100).oneCache, 20 / 55);
    assert.equal(oracleHitRates(traceOf(long, short), 100).oneCache, 10 / 55);
    for (const trace of [traceOf(short, long), traceOf(long, short)])
      assert.equal(oracleHitRates(trace, 100).unlimited, 20 / 55);
  });

  it('has nothing to say of nothing', () => {
    assert.deepEqual(oracleHitRates(traceOf(), 10), { oneCache: 0, unlimited: 0 });
  });

  it('is never below one cache, whatever its size', () => {
    const prompt = fc.tuple(fc.array(fc.nat(4), { maxLength: 6 }), fc.integer({ min: 1, max: 9 }));
    fc.assert(
      fc.property(fc.array(prompt, { maxLength: 30 }), fc.integer({ min: 1, max: 40 }), (prompts, size) => {
        const { oneCache, unlimited } = oracleHitRates(traceOf(...prompts), size);
        assert.ok(oneCache <= unlimited + 1e-12);
        assert.ok(oneCache >= 0 && unlimited < 1);
      }),
    );
  });
});

describe('a set of blocks', () => {
  it('counts each once, however many', () => {
    const { hashes } = blocksFromHashIds(
      Array.from({ length: 5000 }, (_, id) => id % 2500),
      1,
      5000,
    );
    const set = new BlockSet();
    for (let round = 0; round < 2; round += 1)
      for (let index = 0; index < 5000; index += 1) set.add(hashes, index);
    // Hashes are chained: the second half differs from the first.
    assert.equal(set.size, 5000);
    set.add(new Uint32Array([0, 0]), 0);
    set.add(new Uint32Array([0, 0]), 0);
    assert.equal(set.size, 5001);
  });
});
