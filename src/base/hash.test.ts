import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { fmix32, hash53, mix53, ringPosition } from './hash.ts';

fc.configureGlobal({ seed: 7 });

const hash = fc.integer({ min: 0, max: 2 ** 53 - 1 });

describe('hash53', () => {
  it('is xxHash64 cut to 53 bits', () => {
    // Published vector: XXH64("", 0) = ef46db3751d8e999.
    assert.equal(hash53(''), Number(0xef46db3751d8e999n & ((1n << 53n) - 1n)));
  });

  it('tells texts apart that differ in one character', () => {
    const seen = new Set(Array.from({ length: 20_000 }, (_, i) => hash53(`session-${i}`)));
    assert.equal(seen.size, 20_000);
  });
});

describe('mix53', () => {
  it('stays within 53 bits and depends on the order of its inputs', () => {
    fc.assert(
      fc.property(hash, hash, (left, right) => {
        const mixed = mix53(left, right);
        assert.ok(Number.isSafeInteger(mixed) && mixed >= 0);
        assert.equal(mixed, mix53(left, right));
        if (left !== right) assert.notEqual(mixed, mix53(right, left));
      }),
    );
  });

  it('moves about half of the output bits for one input bit, whichever it is', () => {
    for (let bit = 0; bit < 106; bit++) {
      let flipped = 0;
      const rounds = 200;
      for (let i = 0; i < rounds; i++) {
        const left = hash53(`l${i}`);
        const right = hash53(`r${i}`);
        const other = bit < 53 ? mix53(flip(left, bit), right) : mix53(left, flip(right, bit - 53));
        flipped += bitsSet(BigInt(mix53(left, right)) ^ BigInt(other));
      }
      const mean = flipped / rounds;
      assert.ok(mean > 24 && mean < 29, `bit ${bit}: ${mean} of 53 bits flip`);
    }
  });

  it('spreads small counters evenly over the ring', () => {
    const counts = new Array<number>(16).fill(0);
    for (let i = 0; i < 16_000; i++)
      counts[Math.floor(ringPosition(mix53(hash53('worker'), i)) / 2 ** 28)]! += 1;
    for (const count of counts) assert.ok(count > 850 && count < 1150, counts.join(' '));
  });
});

describe('fmix32', () => {
  it('has no collisions on a run of integers', () => {
    assert.equal(new Set(Array.from({ length: 100_000 }, (_, i) => fmix32(i))).size, 100_000);
  });
});

function flip(value: number, bit: number): number {
  return Number(BigInt(value) ^ (1n << BigInt(bit)));
}

function bitsSet(value: bigint): number {
  return value.toString(2).replaceAll('0', '').length;
}
