import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { seededRandom } from '../../base/random.ts';
import { VirtualClock } from '../../base/virtual-clock.ts';
import { blocksFromHashIds } from '../../routing/hash-ids.ts';
import { MODEL_DEFAULTS } from '../../sim/engine/model-settings.ts';
import { WorkerModel } from '../../sim/engine/worker-model.ts';
import { EngineSnapshots } from './engine-snapshots.ts';
import { EngineEvents } from './engine-events.ts';
import type { EventChannel } from './followed-engine.ts';
import { FollowedCaches } from './followed-caches.ts';

const BLOCK = 16;
const prompt = (...ids: number[]) => blocksFromHashIds(ids, BLOCK, ids.length * BLOCK);

/** `rest`: tokens of every prompt behind its blocks. */
function follow(channel: Partial<EventChannel> = {}, blocks = 4, cpuBlocks = 0, rest = 0) {
  const clock = new VirtualClock();
  const settings = { ...MODEL_DEFAULTS, blocks, cpuBlocks, maxModelLen: blocks * BLOCK };
  const model = new WorkerModel({ ...settings, prefillTokensPerSecond: Infinity }, clock, 'change');
  const events = new EngineEvents(model);
  const usual = { delayMs: 0, loss: 0, replays: true, joinsAtMs: 0 };
  const caches = new FollowedCaches(
    { clock, random: seededRandom(1), channel: { ...usual, ...channel } },
    { blockSize: BLOCK, blocks: 10_000 },
  );
  caches.follow(0, events);
  /** The engine computes a prompt of these blocks. */
  const compute = (...ids: number[]): void => {
    const { hashes } = prompt(...ids);
    model.submit({
      ...{ promptTokens: BLOCK * ids.length + rest, outputTokens: 0, hashes, finishedReason: 'length' },
      onDone: () => undefined,
    });
    clock.advance(1);
  };
  const held = (...ids: number[]): number => caches.match(prompt(...ids), 0);
  return { clock, caches, model, events, compute, held };
}

const somePrompts = fc.array(fc.array(fc.nat(3), { minLength: 1, maxLength: 8 }), { maxLength: 80 });

describe('knowledge from engine events', () => {
  it('comes when it has travelled, stored and removed alike', () => {
    const { clock, compute, held } = follow({ delayMs: 100 });
    compute(1, 2, 3);
    clock.advance(98);
    assert.equal(held(1, 2, 9), 0);
    clock.advance(2);
    assert.equal(held(1, 2, 9), 2);
    // Room for four: the tail of the first prompt goes before its head.
    compute(4, 5);
    clock.advance(50);
    assert.equal(held(1, 2, 3), 3);
    clock.advance(51);
    assert.equal(held(1, 2, 3), 2);
    assert.equal(held(4, 5), 2);
  });

  it('has what was lost as soon as the next message shows that something is missing', () => {
    const { compute, held, clock } = follow({ delayMs: 10, loss: 0.5 }, 1000);
    for (let id = 1; id <= 200; id += 1) {
      compute(id);
      clock.advance(20);
    }
    // It asks once a second.
    clock.advance(2000);
    const known = Array.from({ length: 200 }, (_, id) => held(id + 1));
    const first = known.indexOf(0);
    assert.ok(first < 0 || known.slice(first).every((blocks) => blocks === 0), 'only the last ones are open');
    assert.ok(known.filter((blocks) => blocks === 1).length > 190);
  });

  it('begins anew after a loss where nobody can be asked', () => {
    const { caches, compute, held, clock } = follow({ loss: 0.1, replays: false }, 1000);
    let forgot = 0;
    for (let id = 1; id <= 200; id += 1) {
      compute(id);
      clock.advance(5);
      if (id > 1 && held(id) === 1 && held(id - 1) === 0) forgot += 1;
      // Of the first message it cannot be told whether it was lost.
      if (id > 1) assert.equal(caches.isWhole(0), forgot === 0, `message ${id}`);
    }
    assert.ok(forgot > 5 && forgot < 40, `${forgot} times`);
  });

  it('is predicted until it is followed, and then has what went before if that can be asked for', () => {
    for (const replays of [true, false]) {
      const { caches, compute, held, clock } = follow({ joinsAtMs: 1000, replays });
      compute(1, 2);
      assert.equal(caches.isLive(0), false);
      assert.equal(held(1, 2), -1);
      clock.advance(1000);
      assert.equal(caches.isLive(0), true);
      assert.equal(held(1, 2), replays ? 2 : 0);
      compute(3);
      assert.equal(held(3), 1);
      assert.equal(caches.isWhole(0), replays);
    }
  });

  it('says what lies on the CPU', () => {
    const { caches, compute } = follow({}, 4, 100);
    compute(1, 2, 3);
    compute(4, 5);
    assert.equal(caches.match(prompt(1, 2, 3), 0), 3);
    assert.deepEqual(caches.tiers(prompt(1, 2, 3), 0), { gpu: 2, cpu: 1, disk: 0 });
  });

  it('is gone with the worker', () => {
    const { caches, compute, events } = follow();
    compute(1);
    caches.leave(0);
    assert.equal(caches.isLive(0), false);
    caches.follow(0, events);
    assert.equal(caches.match(prompt(1), 0), 0);
  });

  it('is what the engine holds, whatever it computes', () => {
    fc.assert(
      fc.property(somePrompts, fc.constantFrom(0, 1), (prompts, rest) => {
        const { model, compute, held } = follow({}, 12, 20, rest);
        for (const ids of prompts) {
          compute(...ids);
          const { hashes, count } = prompt(...ids);
          const onGpu = model.cache.match(hashes, count);
          assert.equal(held(...ids), onGpu + (model.cpuCache?.match(hashes, count, onGpu) ?? 0));
        }
      }),
      { numRuns: 200, seed: 3 },
    );
  });
});

describe('snapshots of the engines', () => {
  it('are as old as the last look, and end with the run', () => {
    const clock = new VirtualClock();
    const model = new WorkerModel(MODEL_DEFAULTS, clock, 'change');
    let busy = true;
    const engines = {
      modelOf: (id: string) => (id === 'one' ? model : undefined),
      eventsOf: () => undefined,
      busy: () => busy,
    };
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
