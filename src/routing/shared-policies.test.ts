import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { Worker } from 'node:worker_threads';
import { askFor, FakeFleet, prompt } from '../../test/support/pool.ts';
import { ThreadEnds } from '../../test/support/thread-ends.ts';
import { JoinedMemory, SharedMemory, type ThreadMemory } from '../base/thread-memory.ts';
import { VirtualClock } from '../base/virtual-clock.ts';
import { ColdOrder } from './cold-order.ts';
import { RoundRobinPolicy } from './policies/round-robin.ts';
import type { Choice } from './policy.ts';
import { PoolTurns } from './pool-turns.ts';
import { PinsOfThread, PinsOfThreads } from './shared-pins.ts';
import { StickyPins } from './sticky-pins.ts';

function threads(): ThreadMemory[] {
  const memory = new SharedMemory(2);
  ColdOrder.region(memory);
  PoolTurns.region(memory);
  return [1, 2].map((self) => new JoinedMemory(memory.regions, { rows: 3, self }));
}

const indexOf = (choice: Choice): number => (choice.kind === 'chosen' ? choice.index : -1);

describe('policies of several threads', () => {
  it('give one turn after the other, each pool its own', () => {
    const fleet = new FakeFleet();
    const [one, other] = threads().map(
      (memory) => new RoundRobinPolicy({ random: fleet.random, share: { memory, scope: 'default' } }),
    );
    const pool = fleet.pool(3, { key: 'a' });
    const turn = (policy = one, asked = pool): number => indexOf(policy!.choose(undefined, asked));
    assert.deepEqual(
      [turn(one), turn(other), turn(other), turn(one), turn(one, fleet.pool(3, { key: 'b' })), turn(other)],
      [0, 1, 2, 0, 0, 1],
    );
    assert.equal(indexOf(one!.peek(undefined, pool)), 2);
    assert.equal(indexOf(other!.choose(undefined, fleet.pool(3, { key: 'a', isRetry: true }))), 2);
    assert.equal(turn(), 2, 'a look and a retry take no turn');
  });

  it('never give one turn twice, however fast', async () => {
    const memory = new SharedMemory(2);
    const turns = new PoolTurns({ memory, scope: 'default' });
    const MOST = 30_000;
    const url = new URL('../../test/threads/turn-taker.ts', import.meta.url);
    const workers = [1, 2].map(
      (self) => new Worker(url, { workerData: { regions: memory.regions, self, turns: MOST } }),
    );
    const taken = await Promise.all(
      workers.map(async (worker) => {
        const [mine] = (await once(worker, 'message')) as [readonly number[]];
        return mine;
      }),
    );
    const all = taken.flat().sort((left, right) => left - right);
    assert.deepEqual(
      all,
      Array.from({ length: 2 * MOST }, (_, turn) => turn),
    );
    assert.equal(turns.of('pool'), 2 * MOST);
  });

  it('have one order of cold prompts', () => {
    const [one, other] = threads().map((memory) => new ColdOrder({ memory, scope: 'default' }));
    const cold = (slot: number) =>
      ({ type: 'dispatched', ask: askFor(prompt(100)), slot, matchedTokens: 0 }) as const;
    one!.observe(cold(2));
    other!.observe(cold(0));
    one!.observe(cold(1));
    for (const order of [one!, other!])
      assert.deepEqual(
        [0, 1, 2, 3].sort((a, b) => order.turnOf(a) - order.turnOf(b)),
        [3, 2, 0, 1],
      );
    other!.observe({ type: 'left', slot: 1 });
    assert.equal(one!.turnOf(1), 0);
    assert.ok(one!.column(5000).length >= 5000);
    assert.equal(one!.turnOf(2), 1, 'more slots than there is room for: a column of its own');
  });
});

describe('pins of several threads', () => {
  const TTL_MS = 8000;

  it('hold everywhere, and the one that control hears last counts', async (t) => {
    const ends = new ThreadEnds(t, 2);
    const clock = new VirtualClock();
    new PinsOfThreads(ends.channels);
    const [one, other] = [1, 2].map((row) => {
      const pins = new PinsOfThread(ends.begin(row).channel, clock);
      return new StickyPins(clock, TTL_MS, { link: pins.link('hash default') });
    });
    const passed = async (): Promise<void> => {
      clock.advance(1);
      await ends.settled();
    };
    one!.keep(7, 'a');
    assert.equal(one!.get(7), 'a');
    await passed();
    assert.equal(other!.get(7), 'a');

    one!.keep(8, 'a');
    other!.keep(8, 'b');
    await passed();
    assert.equal(one!.get(8), other!.get(8));
    assert.ok(one!.get(8));

    // Used in one thread only: the other one hears of it in time.
    for (let use = 0; use < 20; use++) {
      clock.advance(TTL_MS / 10);
      one!.keep(7, 'a');
      await passed();
    }
    assert.equal(other!.get(7), 'a');
    assert.equal(other!.get(8), undefined);
  });

  it('are known to a thread that begins later, of its own policy alone', async (t) => {
    const ends = new ThreadEnds(t, 2);
    const clock = new VirtualClock();
    new PinsOfThreads(ends.channels);
    const first = new PinsOfThread(ends.begin(1).channel, clock);
    const one = new StickyPins(clock, TTL_MS, { link: first.link('hash default') });
    for (let key = 0; key < 5000; key++) one.keep(key, `w${key % 3}`);
    clock.advance(1);
    await ends.settled();
    ends.channels.end(2);
    const second = new PinsOfThread(ends.begin(2).channel, clock);
    const later = new StickyPins(clock, TTL_MS, { link: second.link('hash default') });
    const another = new StickyPins(clock, TTL_MS, { link: second.link('hash of m') });
    await ends.settled();
    assert.deepEqual([later.size, later.get(4999), another.size], [5000, 'w1', 0]);
  });
});
