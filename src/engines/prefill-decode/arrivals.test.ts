import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { RouterThreads } from '../../../test/support/router-threads.ts';
import { VirtualClock } from '../../base/virtual-clock.ts';
import { Announcements, type AnnouncementEnd } from './announcements.ts';
import { AwaitedArrivals, type Arrival, type Expect } from './arrivals.ts';
import { arrivalsOfThread, serveArrivals } from './shared-arrivals.ts';

const NEVER = new AbortController().signal;

function setUp() {
  const clock = new VirtualClock();
  const ends: Partial<Record<AnnouncementEnd, number>> = {};
  const announcements = new Announcements({
    clock,
    onEnd: (end, count) => (ends[end] = (ends[end] ?? 0) + count),
  });
  const waits: Arrival[] = [];
  const arrivals = (expect: Expect): AwaitedArrivals =>
    new AwaitedArrivals({ clock, expect, timeoutMs: () => 5000, onEnd: (end) => waits.push(end) });
  return { clock, announcements, ends, waits, arrivals, own: arrivals(announcements.expect) };
}

describe('blocks that are announced', () => {
  it('have arrived when every rank has said so, before or after one waits for them', async () => {
    const { announcements, ends, own } = setUp();
    const late = own.wait('late', 2, NEVER);
    announcements.announced('late');
    announcements.announced('early');
    announcements.announced('other');
    announcements.announced('early');
    announcements.announced('late');
    assert.equal(await late, 'arrived');
    assert.equal(await own.wait('early', 2, NEVER), 'arrived');
    assert.deepEqual(ends, { awaited: 4 });
    assert.equal(announcements.size, 1);
  });

  it('are waited for no longer than the time, nor by one who has left', async () => {
    const { clock, announcements, waits, own } = setUp();
    const client = new AbortController();
    const [slow, aborted] = [own.wait('slow', 2, NEVER), own.wait('aborted', 1, client.signal)];
    announcements.announced('slow');
    clock.advance(4999);
    client.abort();
    assert.equal(await aborted, 'aborted');
    assert.deepEqual(waits, ['aborted']);
    clock.advance(1);
    assert.equal(await slow, 'timeout');
    assert.equal(await own.wait('gone already', 1, AbortSignal.abort()), 'aborted');
    // Nobody is told any more.
    announcements.announced('slow');
    announcements.announced('aborted');
    assert.deepEqual(waits, ['aborted', 'timeout', 'aborted']);
  });

  it('are forgotten where nobody asks for them', async () => {
    const { clock, announcements, ends, own } = setUp();
    announcements.announced('a');
    announcements.announced('a');
    clock.advance(30_000);
    announcements.announced('b');
    clock.advance(30_000);
    assert.deepEqual([announcements.size, ends], [1, { expired: 2 }]);
    clock.advance(60_000);
    assert.deepEqual([announcements.size, ends], [0, { expired: 3 }]);
    announcements.announced('c');
    assert.equal(await own.wait('c', 1, NEVER), 'arrived');
  });

  it('have room for so many keys: the oldest go that nobody waits for', async () => {
    const { announcements, ends, own } = setUp();
    const waiting = own.wait('first', 1, NEVER);
    for (let i = 0; i < 20_000; i += 1) announcements.announced(`key ${i}`);
    assert.equal(announcements.size, 16_384);
    assert.deepEqual(ends, { no_room: 20_000 - 16_383 });
    announcements.announced('first');
    assert.equal(await waiting, 'arrived');
    assert.equal(await own.wait('key 19999', 1, NEVER), 'arrived');
  });

  it('reach whoever waits for the same', async () => {
    const { announcements, own } = setUp();
    const [one, two] = [own.wait('key', 1, NEVER), own.wait('key', 2, NEVER)];
    announcements.announced('key');
    assert.equal(await one, 'arrived');
    announcements.announced('key');
    assert.equal(await two, 'arrived');
    assert.equal(announcements.size, 0);
  });
});

describe('where threads wait', () => {
  it('the one that waits hears of it, and of its own waits only', async () => {
    const { announcements, arrivals, ends } = setUp();
    const threads = new RouterThreads(2);
    serveArrivals(announcements.expect, threads.channels);
    const [first, second] = [0, 1].map((row) => arrivals(arrivalsOfThread(threads.begin(row).channel)));
    announcements.announced('early');
    const [early, late, given] = [
      first!.wait('early', 1, NEVER),
      second!.wait('late', 1, NEVER),
      second!.wait('early', 1, NEVER),
    ];
    await threads.settle();
    announcements.announced('late');
    await threads.settle();
    assert.deepEqual([await early, await late], ['arrived', 'arrived']);
    announcements.announced('early');
    await threads.settle();
    assert.equal(await given, 'arrived');
    assert.deepEqual(ends, { awaited: 3 });
  });

  it('control forgets what a thread no longer waits for, and what one that has died did', async () => {
    const { clock, announcements, arrivals, ends } = setUp();
    const threads = new RouterThreads(2);
    serveArrivals(announcements.expect, threads.channels);
    const [first, second] = [0, 1].map((row) => arrivals(arrivalsOfThread(threads.begin(row).channel)));
    const client = new AbortController();
    const aborted = first!.wait('aborted', 1, client.signal);
    void second!.wait('of the dead', 1, NEVER);
    await threads.settle();
    client.abort();
    threads.end(1);
    await threads.settle();
    assert.equal(await aborted, 'aborted');
    announcements.announced('aborted');
    announcements.announced('of the dead');
    clock.advance(120_000);
    assert.deepEqual([ends, announcements.size], [{ expired: 2 }, 0]);
  });
});
