import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { askFor, FakeFleet, prompt } from '../../../test/support/pool.ts';
import type { CacheMatch } from '../policy.ts';
import { KvAwarePolicy, type KvAwareSettings } from './kv-aware.ts';

/** A fleet whose caches are known from events, by slot. */
function bench(known: readonly CacheMatch[], settings: Partial<KvAwareSettings> = {}) {
  const fleet = new FakeFleet();
  const cache = { match: (_ask: unknown, slot: number) => known[slot]! };
  const policy = new KvAwarePolicy(
    { blockSize: 16, weights: { gpu: 1, cpu: 0.3, disk: 0.05 }, loadBounded: true, ...settings },
    { ...fleet.deps, cache },
  );
  const choose = (tokens = 400) => {
    const choice = policy.choose(askFor(prompt(tokens)), fleet.pool(known.length));
    assert.ok(choice.kind === 'chosen');
    return choice;
  };
  return { fleet, policy, choose };
}

const held = (gpu: number, cpu = 0, disk = 0): CacheMatch => ({
  ...{ tokens: 16 * (gpu + cpu + disk), source: 'events' },
  ...(cpu + disk > 0 && { tiers: { cpu: 16 * cpu, disk: 16 * disk } }),
});

describe('kv_aware', () => {
  it('takes the worker whose blocks weigh most, not the one that has most of them', () => {
    assert.equal(bench([held(2), held(0, 12), held(10), held(0, 0, 20)]).choose().index, 2);
    assert.equal(bench([held(2), held(0, 12), held(1), held(0, 0, 20)]).choose().index, 1);
    const disk = bench([held(2), held(0, 0, 12)], { weights: { gpu: 1, cpu: 1, disk: 1 } });
    assert.deepEqual([disk.choose().index, disk.choose().reason], [1, 'warmest']);
  });

  it('takes the less loaded of those that weigh the same, and of all where nobody holds a block', () => {
    const warm = bench([held(3), held(3), held(3)]);
    warm.fleet.at(0).running = 2;
    warm.fleet.at(2).running = 1;
    assert.equal(warm.choose().index, 1);
    const cold = bench([held(0), held(0)]);
    cold.fleet.at(0).running = 1;
    const { index, reason, scores } = cold.choose();
    assert.deepEqual([index, reason, [...(scores ?? [])]], [1, 'least_loaded_cold', [1, 0]]);
  });

  it('passes over the warmest where the wait costs more than is saved, unless it is told not to', () => {
    for (const loadBounded of [true, false]) {
      const { fleet, choose } = bench([held(10), held(2)], { loadBounded });
      fleet.at(0).prefillTokens = 100;
      assert.deepEqual([choose().index, choose().reason], [0, 'warmest']);
      fleet.at(0).prefillTokens = 20_000;
      const { index, reason, scores } = choose();
      assert.deepEqual([index, reason], loadBounded ? [1, 'affinity_bounded'] : [0, 'warmest']);
      assert.equal(scores?.indexOf(Math.min(...scores)), index);
    }
  });

  it('says how the caches are known, and which tokens of them', () => {
    const { matchedTokens, knowledge } = bench([held(1, 2, 3), held(4)]).choose();
    assert.deepEqual([...(matchedTokens ?? [])], [96, 64]);
    assert.deepEqual([...(knowledge?.tiers?.disk ?? [])], [48, 0]);
    assert.deepEqual(bench([held(1)]).policy.needs, { cache: true, tokens: true });
  });
});
