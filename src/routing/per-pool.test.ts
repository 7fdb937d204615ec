import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FakeFleet } from '../../test/support/pool.ts';
import { PerPool } from './per-pool.ts';

describe('PerPool', () => {
  const fleet = new FakeFleet();

  it('builds once per generation of a pool', () => {
    let built = 0;
    const structures = new PerPool(() => ({ bytes: 8, number: ++built }));
    const get = (key: string, generation: number): number =>
      structures.get(fleet.pool(1, { key, generation })).number;
    assert.deepEqual(
      [get('a', 1), get('b', 1), get('a', 1), get('a', 1), get('a', 2), get('b', 1)],
      [1, 2, 1, 1, 3, 2],
    );
  });

  it('is bounded in bytes, yet always holds the pool in use', () => {
    let built = 0;
    const structures = new PerPool(() => ({ bytes: 1000 + built++ }), 5000);
    for (let i = 0; i < 100; i++) structures.get(fleet.pool(1, { key: `pool-${i}` }));
    structures.get(fleet.pool(1, { key: 'pool-99' }));
    structures.get(fleet.pool(1, { key: 'pool-98' }));
    assert.equal(built, 100);
    structures.get(fleet.pool(1, { key: 'pool-0' }));
    assert.equal(built, 101);

    built = 0;
    const tooLarge = new PerPool(() => ({ bytes: 6000 + built++ }), 5000);
    for (let i = 0; i < 10; i++) tooLarge.get(fleet.pool(1));
    assert.equal(built, 1);
  });
});
