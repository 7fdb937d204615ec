import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { blockDigest, digestNumber, rootDigest } from './block-digest.ts';

const FIRST = [1, 2, 3, 4];

/** Computed with Python's hashlib over hand-written canonical CBOR. */
const VECTORS: readonly (readonly [name: string, extraKeys: readonly string[], hex: string, wire: bigint])[] =
  [
    ['plain', [], 'c9d58ba695280d69b243e1e0df813136ca9196b286fb1a021e0b2e028ef071cb', 2164874634404590027n],
    [
      'adapter',
      ['my-lora'],
      'c4bb06ec618fa6a409a65a4879c339dde2fc098b27d584c8f4c9729d7fda3789',
      17638755436353697673n,
    ],
    [
      'salt',
      ['tenant-a'],
      '5188afdf425172363edc325e9600bdb55cfc0950138d1c11b71ec2ac150962f4',
      13195198002585232116n,
    ],
    [
      'both',
      ['my-lora', 'tenant-a'],
      '22c6872a7bc0d739ef93f52f1b3b113179ab1ecf98ed6ee763586529b2c11837',
      7158582837472466999n,
    ],
  ];

describe('block digests', () => {
  it('begin with the hash of the seed', () => {
    assert.equal(
      rootDigest('0').toString('hex'),
      '4e1195df020de59e0d65a33a4279f1183e7ae4e5d980e309f8b55adff2e61c3e',
    );
    assert.equal(
      rootDigest('42').toString('hex'),
      '9fa6eb003f14425eb9c8e6baacfbcaab26257357b829c7bfa74ffcc4f31c1780',
    );
  });

  it('begin with chance where there is no seed', () => {
    assert.notDeepEqual(rootDigest(undefined), rootDigest(undefined));
  });

  for (const [name, extraKeys, hex, wire] of VECTORS) {
    it(`are vLLM's for a first block: ${name}`, () => {
      const digest = blockDigest(rootDigest('0'), FIRST, extraKeys);
      assert.equal(digest.toString('hex'), hex);
      assert.equal(digestNumber(digest), wire);
    });
  }

  it("are vLLM's for the blocks behind it", () => {
    const second = blockDigest(blockDigest(rootDigest('0'), FIRST, []), [5, 6, 7, 8], []);
    assert.equal(digestNumber(second), 17270480062156288726n);
    const third = blockDigest(second, [9, 10, 11, 12], []);
    assert.equal(third.toString('hex'), 'e628d7f6f15c524d67345b6a98489c375c91df1c31e3d154daed446d95c926b2');
  });
});
