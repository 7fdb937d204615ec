import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { workerId } from '../../test/support/pool.ts';
import { hash53 } from '../base/hash.ts';
import { Rendezvous } from './rendezvous.ts';

const members = (n: number) => Array.from({ length: n }, (_, slot) => ({ slot, id: workerId(slot) }));

describe('Rendezvous', () => {
  it('shares keys out evenly, more so than a ring', () => {
    const draws = new Rendezvous(members(8));
    const counts = new Array<number>(8).fill(0);
    for (let i = 0; i < 40_000; i++) counts[draws.find(hash53(`k${i}`), () => true)]! += 1;
    for (const count of counts) assert.ok(count > 4700 && count < 5300, counts.join(' '));
  });

  it('moves only the keys of the one that is not accepted, to all others alike', () => {
    const draws = new Rendezvous(members(5));
    const heirs = new Array<number>(5).fill(0);
    for (let i = 0; i < 20_000; i++) {
      const hash = hash53(`k${i}`);
      const owner = draws.find(hash, () => true);
      const second = draws.find(hash, (index) => index !== 2);
      if (owner === 2) heirs[second]! += 1;
      else assert.equal(second, owner);
    }
    for (const index of [0, 1, 3, 4]) assert.ok(heirs[index]! > 850 && heirs[index]! < 1150, heirs.join(' '));
  });

  it('finds nobody when nobody is accepted', () => {
    assert.equal(
      new Rendezvous(members(3)).find(1, () => false),
      -1,
    );
    assert.equal(
      new Rendezvous([]).find(1, () => true),
      -1,
    );
  });
});
