import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FakeFleet, askFor, dispatch } from '../../../test/support/pool.ts';
import type { Policy, Pool } from '../policy.ts';
import { PowerOfTwoPolicy } from './power-of-two.ts';
import { RandomPolicy } from './random.ts';
import { RoundRobinPolicy } from './round-robin.ts';

function sequence(policy: Policy, pool: Pool, length: number): number[] {
  return Array.from({ length }, () => dispatch(policy, askFor(), pool).index);
}

function counts(policy: Policy, pool: Pool, rounds = 20_000): number[] {
  const result = new Array<number>(pool.members.length).fill(0);
  for (const index of sequence(policy, pool, rounds)) result[index]! += 1;
  return result;
}

const near = (actual: number, expected: number): void =>
  assert.ok(Math.abs(actual - expected) < 0.06 * expected + 20, `${actual}, not about ${expected}`);

describe('random', () => {
  it('is uniform over the eligible', () => {
    const fleet = new FakeFleet();
    const [a, b, c, d] = counts(new RandomPolicy(fleet), fleet.pool(4, { masked: [1] })) as [
      number,
      number,
      number,
      number,
    ];
    assert.equal(b, 0);
    for (const count of [a, c, d]) near(count, 20_000 / 3);
  });

  it('takes a worker that is ramped up with 1/ramp of the others’ probability', () => {
    const fleet = new FakeFleet();
    fleet.at(2).ramp = 10;
    const [a, b, c] = counts(new RandomPolicy(fleet), fleet.pool(3)) as [number, number, number];
    near(c, 20_000 / 21);
    near(a, b);
  });
});

describe('round_robin', () => {
  it('takes turns, passing over masked workers without favouring the next one', () => {
    const fleet = new FakeFleet();
    const policy = new RoundRobinPolicy(fleet);
    assert.deepEqual(sequence(policy, fleet.pool(3), 5), [0, 1, 2, 0, 1]);
    assert.deepEqual(sequence(policy, fleet.pool(3, { masked: [0] }), 4), [2, 1, 2, 1]);
    assert.deepEqual(sequence(policy, fleet.pool(3), 3), [2, 0, 1]);
  });

  it('gives a retry no turn of its own', () => {
    const fleet = new FakeFleet();
    const policy = new RoundRobinPolicy(fleet);
    const retry = fleet.pool(2, { masked: [0], isRetry: true });
    assert.deepEqual(sequence(policy, fleet.pool(2), 1), [0]);
    assert.deepEqual(sequence(policy, retry, 1), [1]);
    assert.deepEqual(sequence(policy, fleet.pool(2), 2), [1, 0]);
  });

  it('keeps the turns of pools apart, and survives a smaller membership', () => {
    const fleet = new FakeFleet();
    const policy = new RoundRobinPolicy(fleet);
    const one = fleet.pool(2, { key: 'one' });
    const other = fleet.pool(2, { key: 'other' });
    const seen = Array.from({ length: 4 }, () => [
      dispatch(policy, askFor(), one).index,
      dispatch(policy, askFor(), other).index,
    ]);
    assert.deepEqual(seen, [
      [0, 0],
      [1, 1],
      [0, 0],
      [1, 1],
    ]);
    sequence(policy, fleet.pool(5, { key: 'one', generation: 2 }), 4);
    assert.deepEqual(sequence(policy, fleet.pool(2, { key: 'one', generation: 3 }), 3), [1, 0, 1]);
  });

  it('passes over a worker that is ramped up nine times in ten at first', () => {
    const fleet = new FakeFleet();
    fleet.at(1).ramp = 10;
    const [a, b, c] = counts(new RoundRobinPolicy(fleet), fleet.pool(3)) as [number, number, number];
    near(b, 20_000 / 21);
    near(a, c);
  });

  it('takes a ramping worker rather than nobody', () => {
    const fleet = new FakeFleet();
    fleet.at(0).ramp = 1e9;
    assert.deepEqual(sequence(new RoundRobinPolicy(fleet), fleet.pool(2, { masked: [1] }), 3), [0, 0, 0]);
  });
});

describe('power_of_two', () => {
  it('takes the less loaded of two different workers', () => {
    const fleet = new FakeFleet();
    fleet.at(0).running = 5;
    fleet.at(1).running = 4;
    fleet.at(2).running = 3;
    const [a, b, c] = counts(new PowerOfTwoPolicy(fleet.deps), fleet.pool(3)) as [number, number, number];
    assert.equal(a, 0);
    near(b, 20_000 / 3);
    near(c, (2 * 20_000) / 3);
  });

  it('takes the first drawn on a tie, so that all pairs in both orders are equally likely', () => {
    const fleet = new FakeFleet();
    for (const count of counts(new PowerOfTwoPolicy(fleet.deps), fleet.pool(4))) near(count, 5000);
  });

  it('counts a ramping worker as more loaded than it is', () => {
    const fleet = new FakeFleet();
    fleet.at(0).running = 9;
    fleet.at(1).running = 1;
    fleet.at(1).ramp = 10;
    assert.equal(counts(new PowerOfTwoPolicy(fleet.deps), fleet.pool(2), 100)[0], 100);
  });

  it('tells the loads it compared, and takes the only one without drawing', () => {
    const fleet = new FakeFleet();
    fleet.at(3).running = 2;
    const policy = new PowerOfTwoPolicy(fleet.deps);
    const choice = policy.choose(askFor(), fleet.pool(4, { masked: [0, 1] }));
    assert.deepEqual(choice, {
      kind: 'chosen',
      index: 2,
      reason: 'lower_of_two',
      scores: Float64Array.of(NaN, NaN, 0, 2),
    });
    const only = new PowerOfTwoPolicy({ ...fleet.deps, random: () => assert.fail('drew') });
    assert.deepEqual(only.choose(askFor(), fleet.pool(3, { masked: [0, 2] })), {
      kind: 'chosen',
      index: 1,
      reason: 'only_one',
    });
  });
});
