import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { VirtualClock } from '../../base/virtual-clock.ts';
import { MemoryStore } from './memory.ts';

const MINUTE = 60_000;

describe('a store in memory', () => {
  it('lets go of what has not been used for longest when there are too many', () => {
    const store = new MemoryStore({ maxEntries: 3, maxBytes: 1 << 20 }, new VirtualClock());
    for (const key of ['a', 'b', 'c']) store.set(key, Buffer.from(key), MINUTE);
    store.get('a');
    store.set('d', Buffer.from('d'), MINUTE);
    assert.deepEqual(
      ['a', 'b', 'c', 'd'].filter((key) => store.get(key)),
      ['a', 'c', 'd'],
    );
  });

  it('never holds more bytes than it may, keys and upkeep counted', () => {
    const store = new MemoryStore({ maxEntries: 1000, maxBytes: 50_000 }, new VirtualClock());
    for (let at = 0; at < 200; at++) {
      store.set(`key-${at}`, Buffer.alloc(1000 + at * 10), MINUTE);
      assert.ok(store.size.bytes <= 50_000);
    }
    assert.ok(store.size.entries > 10);
    assert.ok(store.get('key-199'));
  });

  it('does not empty itself for a value that is too large for it, and does not keep the older one', () => {
    const store = new MemoryStore({ maxEntries: 10, maxBytes: 10_000 }, new VirtualClock());
    store.set('a', Buffer.from('a'), MINUTE);
    store.set('b', Buffer.from('b'), MINUTE);
    store.set('b', Buffer.alloc(20_000), MINUTE);
    assert.equal(String(store.get('a')), 'a');
    assert.equal(store.get('b'), undefined);
  });

  it('counts nothing whose time is up', () => {
    const clock = new VirtualClock();
    const store = new MemoryStore({ maxEntries: 10, maxBytes: 10_000 }, clock);
    store.set('a', Buffer.from('a'), 1000);
    store.set('b', Buffer.from('b'), MINUTE);
    clock.advance(2000);
    assert.equal(store.size.entries, 1);
  });

  it('keeps what fits, with the time it has left, when its bounds change', () => {
    const clock = new VirtualClock();
    const store = new MemoryStore({ maxEntries: 10, maxBytes: 100_000 }, clock);
    for (const key of ['a', 'b', 'c']) store.set(key, Buffer.from(key), MINUTE);
    store.get('a');
    clock.advance(30_000);
    store.reconfigure({ maxEntries: 2, maxBytes: 100_000 });
    assert.deepEqual(
      ['a', 'b', 'c'].filter((key) => store.get(key)),
      ['a', 'c'],
    );
    clock.advance(31_000);
    assert.equal(store.size.entries, 0);
  });
});
