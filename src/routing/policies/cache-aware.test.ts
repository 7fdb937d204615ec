import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { FakeFleet, askFor, dispatch, prompt } from '../../../test/support/pool.ts';
import { CacheAwarePolicy, type CacheAwareSettings } from './cache-aware.ts';

fc.configureGlobal({ seed: 7 });

function cacheAware(fleet: FakeFleet, settings: Partial<CacheAwareSettings> = {}): CacheAwarePolicy {
  return new CacheAwarePolicy(
    { cacheThreshold: 0.3, balanceAbsThreshold: 64, balanceRelThreshold: 1.5, ...settings },
    fleet.deps,
  );
}

const ask = askFor(prompt(1000));
const picked = (policy: CacheAwarePolicy, pool: ReturnType<FakeFleet['pool']>): [number, string] => {
  const choice = dispatch(policy, ask, pool);
  return [choice.index, choice.reason];
};

describe('cache_aware', () => {
  it('prefers the warmest worker to a less loaded one', () => {
    const fleet = new FakeFleet();
    fleet.cached = [0, 500, 600];
    for (const slot of [1, 2]) fleet.at(slot).running = 20;
    const choice = dispatch(cacheAware(fleet), ask, fleet.pool(3));
    assert.deepEqual([choice.index, choice.reason], [2, 'warmest']);
    assert.deepEqual(choice.matchedTokens, Float64Array.of(0, 500, 600));
    assert.deepEqual(choice.scores, Float64Array.of(1000 / 8000, 500 / 8000, 400 / 8000));
  });

  it('takes a match at the threshold for none, one above it for affinity', () => {
    const fleet = new FakeFleet();
    fleet.at(1).running = 1;
    fleet.cached = [0, 300];
    assert.deepEqual(picked(cacheAware(fleet), fleet.pool(2)), [0, 'least_loaded_cold']);
    fleet.cached = [0, 301];
    assert.deepEqual(picked(cacheAware(fleet), fleet.pool(2)), [1, 'warmest']);
  });

  it('knows a prompt beyond the hashing limit by the part that is hashed', () => {
    const fleet = new FakeFleet();
    fleet.at(1).running = 1;
    const long = askFor({ ...prompt(1000), totalTokens: 100_000 });
    fleet.cached = [0, 900];
    assert.equal(dispatch(cacheAware(fleet), long, fleet.pool(2)).reason, 'warmest');
    fleet.cached = [0, 200];
    assert.equal(dispatch(cacheAware(fleet), long, fleet.pool(2)).reason, 'least_loaded_cold');
  });

  it('chooses the less loaded among equally warm workers', () => {
    const fleet = new FakeFleet();
    fleet.cached = [800, 800, 800];
    fleet.at(0).running = 2;
    fleet.at(2).running = 1;
    fleet.at(1).running = 2;
    assert.deepEqual(picked(cacheAware(fleet), fleet.pool(3)), [2, 'warmest']);
  });

  it('sends a cold prompt to the least loaded; ties to whoever got a cold one longest ago', () => {
    const fleet = new FakeFleet();
    const policy = cacheAware(fleet);
    const turns = Array.from({ length: 6 }, () => picked(policy, fleet.pool(3))[0]);
    assert.deepEqual(turns, [0, 1, 2, 0, 1, 2]);
    fleet.at(0).running = 1;
    fleet.at(1).running = 1;
    assert.deepEqual(picked(policy, fleet.pool(3)), [2, 'least_loaded_cold']);
    policy.observe({ type: 'left', slot: 1 });
    fleet.at(2).running = 1;
    assert.equal(picked(policy, fleet.pool(3))[0], 1);
  });

  it('gives up affinity when loads are out of balance by both measures', () => {
    const fleet = new FakeFleet();
    fleet.cached = [900, 0];
    const at = (warm: number, cold: number): string => {
      fleet.at(0).running = warm;
      fleet.at(1).running = cold;
      return picked(cacheAware(fleet), fleet.pool(2)).join(' ');
    };
    assert.equal(at(64, 0), '0 warmest');
    assert.equal(at(65, 0), '1 rebalanced');
    assert.equal(at(195, 130), '0 warmest');
    assert.equal(at(196, 130), '1 rebalanced');
  });

  it('judges balance by the eligible workers alone', () => {
    const fleet = new FakeFleet();
    fleet.cached = [900, 0, 0];
    fleet.at(0).running = 100;
    fleet.at(1).running = 99;
    assert.deepEqual(picked(cacheAware(fleet), fleet.pool(3, { masked: [2] })), [0, 'warmest']);
    assert.deepEqual(picked(cacheAware(fleet), fleet.pool(3, { masked: [0] }))[0], 2);
  });

  it('counts a worker that is ramped up as more loaded', () => {
    const fleet = new FakeFleet();
    fleet.at(0).running = 9;
    fleet.at(1).running = 1;
    fleet.at(1).ramp = 10;
    assert.equal(picked(cacheAware(fleet), fleet.pool(2))[0], 0);
  });

  it('leaves a warm worker where the wait costs more than the prefill it saves', () => {
    const fleet = new FakeFleet();
    fleet.cached = [800, 0, 0];
    fleet.at(1).running = 1;
    fleet.at(1).prefillTokens = 50;
    fleet.at(2).prefillTokens = 400;
    fleet.at(0).prefillTokens = 850;
    assert.deepEqual(picked(cacheAware(fleet), fleet.pool(3)), [0, 'warmest']);
    fleet.at(0).prefillTokens = 851;
    const choice = dispatch(cacheAware(fleet), ask, fleet.pool(3));
    assert.deepEqual([choice.index, choice.reason], [1, 'affinity_bounded']);
    assert.deepEqual(choice.scores, Float64Array.of(1051 / 8000, 1050 / 8000, 1400 / 8000));
    // A slow warm worker saves less than it seems to.
    fleet.at(0).prefillTokens = 0;
    fleet.at(0).rate = 1500;
    assert.deepEqual(picked(cacheAware(fleet), fleet.pool(3)), [1, 'affinity_bounded']);
  });

  it('stays with affinity when the quicker worker is just as warm', () => {
    const fleet = new FakeFleet();
    fleet.cached = [800, 800];
    fleet.at(0).prefillTokens = 5000;
    fleet.at(1).running = 1;
    assert.deepEqual(picked(cacheAware(fleet), fleet.pool(2)), [1, 'warmest']);
  });

  it('spreads requests without a prompt by load', () => {
    const fleet = new FakeFleet();
    fleet.at(0).running = 1;
    const policy = cacheAware(fleet);
    const choice = dispatch(policy, askFor(), fleet.pool(3));
    assert.deepEqual([choice.index, choice.reason], [1, 'least_loaded_cold']);
    assert.equal(dispatch(policy, askFor(), fleet.pool(3)).index, 2);
  });

  it('never waits longer for a warm worker than it would take elsewhere', () => {
    const worker = fc.record({
      running: fc.nat(60),
      prefillTokens: fc.nat(20_000),
      rate: fc.integer({ min: 500, max: 20_000 }),
      cached: fc.nat(1000),
    });
    fc.assert(
      fc.property(fc.array(worker, { minLength: 1, maxLength: 6 }), (workers) => {
        const fleet = new FakeFleet();
        workers.forEach((each, slot) => Object.assign(fleet.at(slot), each));
        fleet.cached = workers.map((each) => each.cached);
        const { index, reason } = dispatch(cacheAware(fleet), ask, fleet.pool(workers.length));
        if (reason !== 'warmest' && reason !== 'affinity_bounded') return;
        const cost = (each: (typeof workers)[number]): number =>
          (each.prefillTokens + Math.max(1, 1000 - each.cached)) / each.rate;
        const chosen = cost(workers[index]!);
        for (const each of workers) assert.ok(chosen <= cost(each) + 1e-9);
      }),
    );
  });
});
