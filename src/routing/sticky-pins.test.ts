import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { VirtualClock } from '../base/virtual-clock.ts';
import { StickyPins } from './sticky-pins.ts';

describe('StickyPins', () => {
  it('keeps a pin for its time to live after the last use, not after the first', () => {
    const clock = new VirtualClock();
    const pins = new StickyPins(clock, 1000);
    pins.keep(1, 'a');
    clock.advance(900);
    pins.keep(1, 'a');
    clock.advance(900);
    assert.equal(pins.get(1), 'a');
    clock.advance(101);
    assert.equal(pins.get(1), undefined);
    assert.equal(pins.size, 0);
  });

  it('moves a pin', () => {
    const pins = new StickyPins(new VirtualClock(), 1000);
    pins.keep(1, 'a');
    pins.keep(1, 'b');
    assert.equal(pins.get(1), 'b');
    assert.equal(pins.size, 1);
  });

  it('drops the least recently used pins when it is full', () => {
    const pins = new StickyPins(new VirtualClock(), 1000, { maxPins: 100 });
    pins.keep(-1, 'kept');
    for (let key = 0; key < 1000; key++) {
      pins.keep(key, 'a');
      if (key % 50 === 0) pins.keep(-1, 'kept');
    }
    assert.equal(pins.size, 100);
    assert.equal(pins.get(-1), 'kept');
    assert.equal(pins.get(0), undefined);
    assert.equal(pins.get(999), 'a');
  });
});
