import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { workerId } from '../../test/support/pool.ts';
import { hash53 } from '../base/hash.ts';
import { HashRing } from './hash-ring.ts';
import type { Member } from './policy.ts';

fc.configureGlobal({ seed: 7 });

const members = (...slots: number[]): Member[] => slots.map((slot) => ({ slot, id: workerId(slot) }));
const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
const keys = range(4000).map((i) => hash53(`key-${i}`));
const slots = fc.uniqueArray(fc.nat(60), { minLength: 1, maxLength: 12 });

describe('HashRing', () => {
  it('gives every member about the same share', () => {
    const ring = new HashRing(members(...range(8)), 160);
    const counts = new Array<number>(8).fill(0);
    for (let i = 0; i < 40_000; i++) counts[ring.owner(hash53(`k${i}`))]! += 1;
    for (const count of counts) assert.ok(count > 3500 && count < 6800, counts.join(' '));
  });

  it('is the same ring whether built anew or from the one before', () => {
    fc.assert(
      fc.property(slots, slots, fc.boolean(), (before, after, inOrder) => {
        const order = (list: readonly number[]): number[] =>
          inOrder ? list.toSorted((a, b) => a - b) : [...list];
        const [old, now] = [members(...order(before)), members(...order(after))];
        const anew = new HashRing(now, 40);
        const changed = new HashRing(now, 40, new HashRing(old, 40));
        assert.equal(changed.bytes, anew.bytes);
        for (const key of keys.slice(0, 500)) assert.equal(changed.owner(key), anew.owner(key));
        assert.equal(new HashRing(now, 40, new HashRing(old, 20)).owner(7), anew.owner(7));
        assert.equal(new HashRing(now, 40, new HashRing([], 40)).owner(7), anew.owner(7));
        assert.equal(new HashRing([], 40, anew).owner(7), -1);
      }),
      { numRuns: 100 },
    );
  });

  it('moves only the keys of a member that leaves, and only to a member that joins', () => {
    fc.assert(
      fc.property(slots, fc.nat(), (list, pick) => {
        const lost = list[pick % list.length]!;
        const rest = list.filter((slot) => slot !== lost);
        if (rest.length === 0) return;
        const before = new HashRing(members(...list), 40);
        const after = new HashRing(members(...rest), 40);
        for (const key of keys.slice(0, 500)) {
          const owner = list[before.owner(key)]!;
          if (owner !== lost) assert.equal(rest[after.owner(key)], owner);
        }
      }),
      { numRuns: 30 },
    );
  });

  it('does not depend on the order of the members', () => {
    fc.assert(
      fc.property(slots, (list) => {
        const sorted = [...list].sort((a, b) => a - b);
        const one = new HashRing(members(...list), 40);
        const other = new HashRing(members(...sorted), 40);
        for (const key of keys.slice(0, 300)) assert.equal(list[one.owner(key)], sorted[other.owner(key)]);
      }),
      { numRuns: 20 },
    );
  });

  it('sends a masked member to where its removal would, spread over several others', () => {
    const ring = new HashRing(members(...range(8)), 160);
    const without = new HashRing(members(...range(8).filter((slot) => slot !== 3)), 160);
    const heirs = new Set<number>();
    for (const key of keys) {
      const index = ring.find(key, (candidate) => candidate !== 3);
      assert.equal(index < 3 ? index : index - 1, without.owner(key));
      if (ring.owner(key) === 3) heirs.add(index);
      else assert.equal(index, ring.owner(key));
    }
    assert.ok(heirs.size >= 6, `${heirs.size} heirs`);
  });

  it('wraps around at the end', () => {
    const ring = new HashRing(members(0, 1), 1);
    assert.equal(ring.owner(2 ** 53 - 1), ring.owner(0));
  });

  it('finds nobody when nobody is accepted or there', () => {
    assert.equal(
      new HashRing(members(0, 1, 2), 10).find(5, () => false),
      -1,
    );
    assert.equal(new HashRing([], 10).owner(5), -1);
  });
});
