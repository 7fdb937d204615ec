import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { JoinedMemory, SharedMemory } from '../base/thread-memory.ts';
import { VirtualClock } from '../base/virtual-clock.ts';
import { RetryBudget } from './retry-budget.ts';

function setUp(ratio = 0.2, floor = 10) {
  const clock = new VirtualClock();
  const budget = new RetryBudget(clock, { ratio, floor });
  const take = (tries: number): number => {
    let taken = 0;
    for (let attempt = 0; attempt < tries; attempt++) if (budget.tryRetry()) taken += 1;
    return taken;
  };
  return { clock, budget, take };
}

describe('the retry budget', () => {
  it('always allows the floor', () => {
    const { take } = setUp();
    assert.equal(take(50), 10);
  });

  it('allows a share of the requests once that is more', () => {
    const { budget, take } = setUp();
    for (let request = 0; request < 500; request++) budget.onRequest();
    assert.equal(take(500), 100);
  });

  it('forgets requests and retries after 10 s', () => {
    const { clock, budget, take } = setUp();
    for (let request = 0; request < 500; request++) budget.onRequest();
    assert.equal(take(60), 60);
    clock.advance(9000);
    assert.equal(take(500), 40);
    clock.advance(1000);
    // The requests and the first 60 are out of the window, the 40 are in it.
    assert.equal(take(500), 0);
    clock.advance(9000);
    assert.equal(take(500), 10);
    clock.advance(3_600_000);
    assert.equal(take(500), 10);
  });

  it('never grants more than the larger of floor and share in any 10 s of whole seconds', () => {
    const step = fc.record({ ms: fc.nat(3000), requests: fc.nat(60), tries: fc.nat(60) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40, size: 'max' }), fc.nat(5), (steps, floor) => {
        const { clock, budget, take } = setUp(0.2, floor);
        const log: { second: number; requests: number; granted: number }[] = [];
        for (const { ms, requests, tries } of steps) {
          clock.advance(ms);
          for (let request = 0; request < requests; request++) budget.onRequest();
          const granted = take(tries);
          const second = Math.floor(clock.now() / 1000);
          log.push({ second, requests, granted });
          const recent = log.filter((entry) => entry.second > second - 10);
          const sum = (of: 'requests' | 'granted'): number =>
            recent.reduce((total, entry) => total + entry[of], 0);
          const allowed = Math.floor(Math.max(floor, sum('requests') / 5));
          if (granted > 0) assert.ok(sum('granted') <= allowed);
          if (granted < tries) assert.ok(sum('granted') >= allowed);
        }
      }),
      { numRuns: 200, seed: 7 },
    );
  });
});

it('goes on counting in the same window when its limits change', () => {
  const { budget, take } = setUp(0, 10);
  assert.equal(take(8), 8);
  budget.reconfigure({ ratio: 0, floor: 9 });
  assert.equal(take(5), 1);
  budget.reconfigure({ ratio: 0, floor: 20 });
  assert.equal(take(50), 11);
});

describe('the retry budget of several threads', () => {
  function open(floor: number) {
    const clock = new VirtualClock();
    const memory = new SharedMemory(3);
    const limits = { ratio: 0.2, floor };
    const control = new RetryBudget(clock, limits, memory);
    const threads = [1, 2, 3].map(
      (self) => new RetryBudget(clock, limits, new JoinedMemory(memory.regions, { rows: 4, self })),
    );
    return { clock, budgets: [control, ...threads] };
  }

  it('is a share of the requests of all of them, whichever has the retries', () => {
    const { clock, budgets } = open(3);
    for (let request = 0; request < 500; request += 1) budgets[1 + (request % 2)]?.onRequest();
    const taken = (tries: number): number => {
      let count = 0;
      for (let turn = 0; turn < tries; turn += 1) if (budgets[1 + (turn % 3)]?.tryRetry()) count += 1;
      return count;
    };
    assert.deepEqual([taken(60), taken(300)], [60, 40]);
    clock.advance(10_000);
    assert.equal(taken(300), 3);
  });

  it('is what one thread would have with all the requests', () => {
    const step = fc.record({
      ...{ row: fc.nat(3), ms: fc.nat(2500), requests: fc.nat(60), tries: fc.nat(20) },
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40, size: 'max' }), fc.nat(5), (steps, floor) => {
        const { clock, budgets } = open(floor);
        const alone = new RetryBudget(clock, { ratio: 0.2, floor });
        for (const { row, ms, requests, tries } of steps) {
          clock.advance(ms);
          for (let request = 0; request < requests; request += 1) {
            alone.onRequest();
            budgets[row]?.onRequest();
          }
          for (let turn = 0; turn < tries; turn += 1)
            assert.equal(budgets[(row + turn) % 4]?.tryRetry(), alone.tryRetry());
        }
      }),
      { numRuns: 200, seed: 47 },
    );
  });
});
