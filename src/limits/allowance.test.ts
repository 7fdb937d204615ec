import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { JoinedMemory, SharedMemory, type ThreadMemory } from '../base/thread-memory.ts';
import { VirtualClock } from '../base/virtual-clock.ts';
import { Allowance } from './allowance.ts';

function make(most: number, perSecond: number): { clock: VirtualClock; allowance: Allowance } {
  const clock = new VirtualClock();
  return { clock, allowance: new Allowance(clock, most, perSecond) };
}

describe('an allowance', () => {
  it('is full at first, and comes back evenly up to its most', () => {
    const { clock, allowance } = make(10, 2);
    assert.equal(allowance.take(10), true);
    assert.equal(allowance.take(1), false);
    clock.advance(1500);
    assert.equal(allowance.left, 3);
    clock.advance(60_000);
    assert.equal(allowance.left, 10);
  });

  it('is not spent by what it refuses', () => {
    const { allowance } = make(10, 1);
    assert.equal(allowance.take(11), false);
    assert.equal(allowance.left, 10);
  });

  it('says when, and grants it exactly then', () => {
    const { clock, allowance } = make(3, 3);
    allowance.take(3);
    const wait = allowance.msUntil(1);
    clock.advance(wait - 1);
    assert.equal(allowance.take(1), false);
    clock.advance(1);
    assert.equal(allowance.take(1), true);
    assert.equal(allowance.msUntil(4), Infinity);
    assert.equal(make(3, 3).allowance.msUntil(3), 0);
  });

  it('may be overdrawn, and is paid back first', () => {
    const { clock, allowance } = make(10, 1);
    allowance.take(5);
    allowance.correct(20);
    assert.equal(allowance.left, -15);
    assert.equal(allowance.msUntil(1), 16_000);
    clock.advance(15_000);
    assert.equal(allowance.take(1), false);
    clock.advance(1_000);
    assert.equal(allowance.take(1), true);
  });

  it('is never given back more than it holds', () => {
    const { clock, allowance } = make(10, 1);
    allowance.take(8);
    clock.advance(8_000);
    allowance.correct(-8);
    assert.equal(allowance.left, 10);
  });

  it('keeps what has been spent when its limits change', () => {
    const { clock, allowance } = make(10, 1);
    allowance.take(4);
    allowance.reconfigure(100, 5);
    assert.equal(allowance.left, 96);
    allowance.reconfigure(3, 1);
    assert.equal(allowance.left, 0);
    clock.advance(2_000);
    assert.equal(allowance.left, 2);
    allowance.correct(10);
    // A debt is neither forgiven by a reload nor made larger.
    allowance.reconfigure(3, 1);
    assert.equal(allowance.left, -8);
    allowance.reconfigure(1, 1);
    assert.equal(allowance.left, -8);
    allowance.reconfigure(5, 1);
    assert.equal(allowance.left, -4);
  });

  it('grants no more in any time than its most and what comes back in it', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 20 }),
        fc.integer({ min: 1, max: 20 }),
        fc.array(fc.tuple(fc.integer({ min: 0, max: 3000 }), fc.integer({ min: 1, max: 5 })), {
          maxLength: 60,
        }),
        (most, perSecond, steps) => {
          const { clock, allowance } = make(most, perSecond);
          let granted = 0;
          for (const [ms, amount] of steps) {
            clock.advance(ms);
            if (allowance.take(amount)) granted += amount;
          }
          assert.ok(granted <= most + (clock.now() / 1000) * perSecond + 1e-3);
        },
      ),
    );
  });
});

describe('an allowance of several threads', () => {
  const region = 'allowance:test';
  const open = (clock: VirtualClock, memory: ThreadMemory, most = 1, perSecond = 1): Allowance =>
    new Allowance(clock, most, perSecond, { memory, region });

  it('is one: what one spends or gives back, the others have less or more of, by limits that control says', () => {
    const clock = new VirtualClock();
    const memory = new SharedMemory(2);
    const control = open(clock, memory, 10, 2);
    const [one, other] = [1, 2].map((self) =>
      open(clock, new JoinedMemory(memory.regions, { rows: 3, self })),
    );
    assert.ok(one && other);
    assert.deepEqual([one.most, one.take(7), other.take(4), other.take(3)], [10, true, false, true]);
    one.correct(5);
    assert.deepEqual([control.left, other.msUntil(1)], [-5, 3000]);
    other.reconfigure(1000, 1000);
    assert.deepEqual([one.left, one.most], [-5, 10]);
    control.reconfigure(100, 10);
    assert.equal(other.left, 85);
    clock.advance(1000);
    assert.equal(one.left, 95);
    other.correct(-1000);
    assert.equal(one.left, 100);
  });

  it('that begins anew is not corrected by what was taken of the one before', () => {
    const clock = new VirtualClock();
    const memory = new SharedMemory(1);
    open(clock, memory, 10, 1);
    const joined = new JoinedMemory(memory.regions, { rows: 2, self: 1 });
    const before = open(clock, joined);
    assert.equal(before.take(8), true);
    const anew = open(clock, memory, 20, 1);
    assert.equal(anew.left, 20);
    before.correct(100);
    assert.equal(anew.left, 20);
    open(clock, joined).correct(5);
    assert.equal(anew.left, 15);
  });
});
