import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { FakeFleet, askFor, dispatch, prompt } from '../../../test/support/pool.ts';
import { LeastWorkPolicy } from './least-work.ts';

fc.configureGlobal({ seed: 7 });

const leastWork = (fleet: FakeFleet, theta = 0.3): LeastWorkPolicy =>
  new LeastWorkPolicy({ theta }, fleet.deps);
const ask = askFor(prompt(1000));

describe('least_work', () => {
  it('scores every worker in seconds: own wait plus theta times the delay caused', () => {
    const fleet = new FakeFleet();
    fleet.cached = [0, 600, 1000, 0];
    Object.assign(fleet.at(0), { prefillTokens: 3000, running: 4 });
    Object.assign(fleet.at(1), { prefillTokens: 2000, running: 10, rate: 4000 });
    Object.assign(fleet.at(2), { prefillTokens: 9000, running: 50 });
    const choice = dispatch(leastWork(fleet), ask, fleet.pool(4, { masked: [3] }));
    assert.equal(choice.index, 0);
    assert.equal(choice.reason, 'least_work');
    const expected = [
      4 / 8 + (0.3 * 1 * 4) / 8,
      2.4 / 4 + (0.3 * 0.4 * 10) / 4,
      9.001 / 8 + (0.3 * 0.001 * 50) / 8,
    ];
    expected.forEach((seconds, index) =>
      assert.ok(Math.abs((choice.scores?.[index] ?? NaN) - seconds) < 1e-12),
    );
    assert.ok(Number.isNaN(choice.scores?.[3]));
    assert.deepEqual(choice.matchedTokens, Float64Array.of(0, 600, 1000, NaN));
  });

  it('is swayed by what it does to others only as far as theta says', () => {
    const fleet = new FakeFleet();
    Object.assign(fleet.at(0), { running: 30 });
    Object.assign(fleet.at(1), { prefillTokens: 4000 });
    assert.equal(dispatch(leastWork(fleet, 0), ask, fleet.pool(2)).index, 0);
    assert.equal(dispatch(leastWork(fleet, 0.3), ask, fleet.pool(2)).index, 1);
  });

  it('prefers a fast worker to a slow one', () => {
    const fleet = new FakeFleet();
    fleet.at(0).rate = 4000;
    for (let i = 0; i < 5; i++) assert.equal(dispatch(leastWork(fleet), ask, fleet.pool(2)).index, 1);
  });

  it('multiplies the load of a worker that is ramped up', () => {
    const fleet = new FakeFleet();
    Object.assign(fleet.at(0), { running: 5, prefillTokens: 500 });
    Object.assign(fleet.at(1), { running: 1, prefillTokens: 100, ramp: 10 });
    assert.equal(dispatch(leastWork(fleet), ask, fleet.pool(2)).index, 0);
    fleet.at(1).ramp = 4;
    assert.equal(dispatch(leastWork(fleet), ask, fleet.pool(2)).index, 1);
  });

  it('fills the caches of an idle fleet in turn, though learnt speeds differ by noise', () => {
    const fleet = new FakeFleet();
    fleet.at(0).rate = 7900;
    fleet.at(2).rate = 8150;
    const policy = leastWork(fleet);
    const turns = Array.from({ length: 6 }, (_, i) =>
      dispatch(policy, askFor(prompt(1000, i)), fleet.pool(3)),
    );
    assert.deepEqual(
      turns.map((choice) => choice.index),
      [0, 1, 2, 0, 1, 2],
    );
    assert.deepEqual(turns[0]?.reason, 'tie_cold');
    assert.deepEqual(turns[2]?.reason, 'least_work');
  });

  it('does so too when all share a system prompt', () => {
    const fleet = new FakeFleet();
    fleet.cached = [160, 160, 160];
    fleet.at(1).rate = 8100;
    const policy = leastWork(fleet);
    const turns = Array.from({ length: 6 }, () => dispatch(policy, ask, fleet.pool(3)).index);
    assert.deepEqual(turns, [0, 1, 2, 0, 1, 2]);
  });

  it('never trades warmth for a turn', () => {
    const fleet = new FakeFleet();
    fleet.cached = [0, 32];
    const policy = leastWork(fleet);
    for (let i = 0; i < 4; i++) assert.equal(dispatch(policy, ask, fleet.pool(2)).index, 1);
  });

  it('sends a fully cached prompt to the least busy of its warm workers', () => {
    const fleet = new FakeFleet();
    fleet.cached = [1000, 1000, 0];
    fleet.at(0).running = 8;
    fleet.at(1).running = 3;
    assert.equal(dispatch(leastWork(fleet), ask, fleet.pool(3)).index, 1);
  });

  it('spreads requests without a prompt', () => {
    const fleet = new FakeFleet();
    const policy = leastWork(fleet);
    assert.deepEqual(
      Array.from({ length: 4 }, () => dispatch(policy, askFor(), fleet.pool(3)).index),
      [0, 1, 2, 0],
    );
    fleet.at(0).running = 10;
    fleet.at(1).running = 10;
    assert.equal(dispatch(policy, askFor(), fleet.pool(3)).index, 2);
  });

  const worker = fc.record({
    running: fc.nat(200),
    prefillTokens: fc.nat(50_000),
    rate: fc.integer({ min: 500, max: 20_000 }),
    cached: fc.nat(1000),
  });
  type Case = { running: number; prefillTokens: number; rate: number; cached: number };
  const choose = (workers: readonly Case[], theta: number) => {
    const fleet = new FakeFleet();
    workers.forEach((each, slot) => Object.assign(fleet.at(slot), each));
    fleet.cached = workers.map((each) => each.cached);
    return dispatch(leastWork(fleet, theta), ask, fleet.pool(workers.length));
  };
  const fleets = fc.array(worker, { minLength: 1, maxLength: 8 });

  it('is at most a tie away from the cheapest, and exactly the cheapest when warmth differs', () => {
    fc.assert(
      fc.property(fleets, fc.double({ min: 0, max: 2, noNaN: true }), (workers, theta) => {
        const { index, scores } = choose(workers, theta);
        const lowest = Math.min(...(scores ?? []));
        const chosen = scores?.[index] ?? NaN;
        assert.ok(chosen <= lowest * 1.05 + 1e-12);
        const cheapest = workers.filter((_, i) => scores?.[i] === lowest);
        if (cheapest.every((each) => each.cached !== workers[index]?.cached))
          assert.fail('gave up warmth in a tie');
      }),
    );
  });

  it('waits no longer for a warm worker than the prefill saved, for itself and, at theta, for those it would have stalled', () => {
    fc.assert(
      fc.property(fleets, fc.constantFrom(0, 0.3, 1), (workers, theta) => {
        const chosen = workers[choose(workers, theta).index]!;
        const prefill = (each: Case): number => Math.max(1, 1000 - each.cached) / each.rate;
        for (const other of workers) {
          if (other.cached >= chosen.cached) continue;
          const extraWait = chosen.prefillTokens / chosen.rate - other.prefillTokens / other.rate;
          const saved = prefill(other) - prefill(chosen);
          const spared = theta * (prefill(other) * other.running - prefill(chosen) * chosen.running);
          const tie =
            0.05 * (chosen.prefillTokens / chosen.rate + prefill(chosen) * (1 + theta * chosen.running));
          assert.ok(extraWait <= saved + spared + tie + 1e-9);
        }
      }),
    );
  });
});
