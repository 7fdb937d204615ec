import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { VirtualClock } from '../base/virtual-clock.ts';
import { PairRests } from './pair-rests.ts';

const [P, Q, D] = [0, 1, 2].map((slot) => ({ slot, generation: 1 })) as [
  { slot: number; generation: number },
  { slot: number; generation: number },
  { slot: number; generation: number },
];

describe('a pair whose blocks do not come', () => {
  it('rests from the third failure in a row on, and no other pair of either worker does', () => {
    const rests = new PairRests(new VirtualClock());
    assert.deepEqual([rests.failed(P, D), rests.failed(P, D)], [0, 0]);
    assert.equal(rests.isResting(P, D), false);
    assert.equal(rests.failed(P, D), 5000);
    assert.deepEqual(
      [rests.isResting(P, D), rests.isResting(Q, D), rests.isResting(D, P)],
      [true, false, false],
    );
    assert.equal(rests.isResting(P, { ...D, generation: 2 }), false, 'another worker in its place');
  });

  it('is tried again after that, and rests twice as long each time, up to a minute', () => {
    const clock = new VirtualClock();
    const rests = new PairRests(clock);
    for (let failure = 0; failure < 2; failure++) rests.failed(P, D);
    for (const restMs of [5000, 10_000, 20_000, 40_000, 60_000, 60_000]) {
      assert.equal(rests.failed(P, D), restMs);
      clock.advance(restMs - 1);
      assert.equal(rests.failed(P, D), 0, 'it was under way before');
      assert.equal(rests.isResting(P, D), true);
      clock.advance(1);
      assert.equal(rests.isResting(P, D), false);
    }
    rests.succeeded(P, D);
    assert.equal(rests.failed(P, D), 0);
  });

  it('is forgotten where there are too many of them', () => {
    const rests = new PairRests(new VirtualClock());
    for (let failure = 0; failure < 3; failure++) rests.failed(P, D);
    for (let slot = 10; slot < 10 + 4096; slot++) rests.failed({ slot, generation: 1 }, D);
    assert.equal(rests.isResting(P, D), false);
  });
});
