import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { VirtualClock } from '../base/virtual-clock.ts';
import { SizeBrake } from './size-brake.ts';

describe('a brake on prompts by their size', () => {
  it('holds those that are as long as one that took too long, for a while', () => {
    const clock = new VirtualClock();
    const brake = new SizeBrake(clock);
    assert.ok(brake.admits(1_000_000));
    brake.slow(500);
    assert.deepEqual([brake.admits(499), brake.admits(500), brake.admits(501)], [true, false, false]);
    clock.advance(1_000);
    assert.ok(brake.admits(500));
  });

  it('holds them longer each time, and as at first after a quiet minute', () => {
    const clock = new VirtualClock();
    const brake = new SizeBrake(clock);
    const restOf = (bytes: number): number => {
      brake.slow(bytes);
      let ms = 0;
      for (; !brake.admits(bytes); ms += 500) clock.advance(500);
      return ms;
    };
    assert.deepEqual([1, 2, 3, 4].map(restOf), [1_000, 2_000, 4_000, 8_000]);
    for (let i = 0; i < 4; i++) restOf(9);
    assert.equal(restOf(9), 60_000);
    clock.advance(60_001);
    assert.equal(restOf(9), 1_000);
  });

  it('counts those that were begun at the same time once, and goes by the shortest', () => {
    const clock = new VirtualClock();
    const brake = new SizeBrake(clock);
    for (let i = 0; i < 4; i++) brake.slow(500);
    brake.slow(100);
    assert.deepEqual([brake.admits(99), brake.admits(100)], [true, false]);
    clock.advance(2_000);
    assert.ok(brake.admits(100));
  });
});
