import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { askFor } from '../../../test/support/pool.ts';
import { seededRandom } from '../../base/random.ts';
import { VirtualClock } from '../../base/virtual-clock.ts';
import { blocksFromHashIds } from '../../routing/hash-ids.ts';
import { BlockCache } from '../../sim/engine/block-cache.ts';
import { MODEL_DEFAULTS } from '../../sim/engine/model-settings.ts';
import { WorkerModel } from '../../sim/engine/worker-model.ts';
import { EngineSnapshots } from './engine-snapshots.ts';
import { EventView } from './event-view.ts';

const prompt = (...ids: number[]) => blocksFromHashIds(ids, 16, ids.length * 16);

function store(cache: BlockCache, ...ids: number[]): void {
  const { hashes, count } = prompt(...ids);
  const taken: number[] = [];
  assert.ok(cache.take(hashes, 0, count, taken));
  for (const [index, block] of taken.entries()) cache.seal(block, hashes, index);
  cache.release(taken);
}

function follow(delayMs: number, loss: number, blocks = 4) {
  const clock = new VirtualClock();
  const view = new EventView({ clock, delayMs, loss, random: seededRandom(1) });
  const cache = new BlockCache(blocks);
  view.follow(0, cache);
  return { clock, view, cache };
}

describe('knowledge from engine events', () => {
  it('comes when it has travelled, stored and removed alike', () => {
    const { clock, view, cache } = follow(100, 0);
    store(cache, 1, 2, 3);
    assert.equal(view.match(askFor(prompt(1, 2, 9)), 0).tokens, 0);
    clock.advance(99);
    assert.equal(view.match(askFor(prompt(1, 2, 9)), 0).tokens, 0);
    clock.advance(2);
    assert.equal(view.match(askFor(prompt(1, 2, 9)), 0).tokens, 32);
    // Room for four: the tail of the first prompt goes before its head.
    store(cache, 4, 5);
    clock.advance(50);
    assert.equal(view.match(askFor(prompt(1, 2, 3)), 0).tokens, 48);
    clock.advance(51);
    assert.equal(view.match(askFor(prompt(1, 2, 3)), 0).tokens, 32);
  });

  it('is wrong for good where a message was lost', () => {
    const { clock, view, cache } = follow(0, 1);
    store(cache, 1, 2);
    clock.advance(1000);
    assert.equal(view.match(askFor(prompt(1, 2)), 0).tokens, 0);
  });

  it('loses about that share of the messages', () => {
    const { clock, view, cache } = follow(0, 0.3, 1000);
    for (let id = 1; id <= 1000; id += 1) {
      store(cache, id);
      clock.advance(1);
    }
    const known = Array.from({ length: 1000 }, (_, id) => view.match(askFor(prompt(id + 1)), 0).tokens / 16);
    const share = known.reduce((sum, one) => sum + one, 0) / 1000;
    assert.ok(share > 0.65 && share < 0.75, `${share} known`);
  });

  it('is gone with the worker', () => {
    const { clock, view, cache } = follow(0, 0);
    store(cache, 1);
    clock.advance(1);
    view.leave(0);
    assert.equal(view.match(askFor(prompt(1)), 0).tokens, 0);
  });
});

describe('snapshots of the engines', () => {
  it('are as old as the last look, and end with the run', () => {
    const clock = new VirtualClock();
    const model = new WorkerModel(MODEL_DEFAULTS, clock, 'change');
    let busy = true;
    const engines = { modelOf: (id: string) => (id === 'one' ? model : undefined), busy: () => busy };
    const snapshots = new EngineSnapshots(['one', undefined], engines, clock, 100);
    clock.advance(50);
    model.submit({
      ...{ promptTokens: 8000, outputTokens: 1, hashes: new Uint32Array(0), finishedReason: 'length' },
      onDone: () => undefined,
    });
    clock.advance(49);
    assert.equal(snapshots.running(0), 0);
    clock.advance(2);
    assert.equal(snapshots.running(0), 1);
    assert.ok(snapshots.kvUsage(0) > 0);
    assert.deepEqual([snapshots.running(1), snapshots.waiting(1), snapshots.kvUsage(7)], [0, 0, 0]);
    busy = false;
    clock.advance(2000);
    assert.equal(clock.pending, 0);
  });
});
