import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { blocksFromHashIds } from '../../routing/hash-ids.ts';
import { ActiveBlocks } from './active-blocks.ts';

const blocks = (...ids: number[]) => blocksFromHashIds(ids, 16, 16 * ids.length);

describe('ActiveBlocks', () => {
  it('counts a block once, however many requests of the worker hold it', () => {
    const active = new ActiveBlocks();
    assert.equal(active.with(0, blocks(1, 2, 3)), 3);
    active.add(0, blocks(1, 2, 3));
    active.add(0, blocks(1, 2, 4));
    assert.equal(active.with(0, blocks(1, 2, 5)), 5);
    assert.equal(active.with(1, blocks(1, 2, 5)), 3);
  });

  it('lets go of a block with the last request that holds it', () => {
    const active = new ActiveBlocks();
    active.add(0, blocks(1, 2));
    active.add(0, blocks(1, 3));
    active.remove(0, blocks(1, 2));
    assert.equal(active.with(0, blocks(9)), 3);
    active.remove(0, blocks(1, 3));
    assert.equal(active.with(0, blocks(9)), 1);
    active.remove(4, blocks(1));
  });
});
