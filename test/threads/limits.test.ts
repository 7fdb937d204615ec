/** What limits requests, with threads that really run at the same time. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it, type TestContext } from 'node:test';
import { MessageChannel, Worker } from 'node:worker_threads';
import { Places } from '../../src/base/places.ts';
import { PortChannels } from '../../src/base/port-channel.ts';
import { systemClock } from '../../src/base/system-clock.ts';
import { SharedMemory } from '../../src/base/thread-memory.ts';
import { BodyBytes } from '../../src/http/body.ts';
import { Allowance } from '../../src/limits/allowance.ts';
import { openDoor } from '../../src/limits/open-door.ts';
import type { Done, Orders } from './limits-thread.ts';

const THREAD = new URL('./limits-thread.ts', import.meta.url);

/** Control's memory, and threads that share it. */
class Crew {
  readonly memory = new SharedMemory(2);
  readonly channels = new PortChannels();
  readonly #inside = new Int32Array(this.memory.region('inside', 8));
  readonly #t: TestContext;

  constructor(t: TestContext) {
    this.#t = t;
  }

  /** As many as say so themselves. */
  get inside(): number {
    return Atomics.load(this.#inside, 0);
  }

  /** Those of a thread that died say nothing any more. */
  forget(): void {
    Atomics.store(this.#inside, 0, 0);
  }

  start(row: number, order: Pick<Orders, 'what' | 'limit' | 'turns'>): Worker {
    const { port1, port2 } = new MessageChannel();
    const orders: Orders = {
      ...order,
      ...{ regions: this.memory.regions, rows: this.memory.rows, self: row },
      port: order.what === 'door' ? port2 : undefined,
    };
    const worker = new Worker(THREAD, { workerData: orders, transferList: orders.port ? [port2] : [] });
    if (orders.port) this.channels.add(row, port1);
    this.#t.after(async () => {
      await worker.terminate();
      port1.close();
      port2.close();
    });
    return worker;
  }
}

async function end(worker: Worker): Promise<Done> {
  for (;;) {
    // The threads of these tests post nothing else.
    const [message] = (await once(worker, 'message')) as ['begun' | Done];
    if (message !== 'begun') return message;
  }
}

describe('two threads that take all they can get', () => {
  it('never have more places than there are, and every one returns', async (t) => {
    const crew = new Crew(t);
    const places = new Places(crew.memory, 'places', 1);
    const order = { what: 'places', limit: 1, turns: 100_000 } as const;
    await Promise.all([1, 2].map((row) => end(crew.start(row, order))));
    assert.deepEqual([places.count, crew.inside], [0, 0]);
  });

  it('never hold more bytes than may be, and all return', async (t) => {
    const crew = new Crew(t);
    const bytes = new BodyBytes(2 ** 32 - 1, crew.memory);
    const order = { what: 'bytes', limit: 1, turns: 50_000 } as const;
    await Promise.all([1, 2].map((row) => end(crew.start(row, order))));
    assert.deepEqual([bytes.held, crew.inside], [0, 0]);
  });

  it('are granted a rate to within 2%', async (t) => {
    const crew = new Crew(t);
    // As much in store as comes in a minute, so that nothing is lost while none of the threads has its turn.
    const [most, perSecond] = [24_000_000, 400_000];
    const allowance = new Allowance(systemClock, most, perSecond, { memory: crew.memory, region: 'rate' });
    const from = systemClock.now();
    assert.ok(allowance.take(most));
    const order = { what: 'rate', limit: 0, turns: 1500 } as const;
    const done = await Promise.all([1, 2].map((row) => end(crew.start(row, order))));
    const granted = done.reduce((sum, { taken }) => sum + taken, 0);
    const came = (until: number): number => ((until - from) / 1000) * perSecond;
    const first = Math.min(...done.map(({ until }) => until));
    const last = Math.max(...done.map(({ until }) => until));
    assert.ok(granted >= came(first) * 0.98, `${granted} of ${came(first)}`);
    assert.ok(granted <= came(last) * 1.02, `${granted} of ${came(last)}`);
  });
});

describe('a thread that is ended in the middle', () => {
  it('of taking and giving leaves nothing taken', async (t) => {
    for (let death = 0; death < 8; death += 1) {
      const crew = new Crew(t);
      const places = new Places(crew.memory, 'places', 2);
      const bytes = new BodyBytes(2 ** 32, crew.memory);
      const doomed = [
        crew.start(1, { what: 'places', limit: 2, turns: Infinity }),
        crew.start(2, { what: 'bytes', limit: 2, turns: Infinity }),
      ];
      while (crew.inside === 0) await new Promise((resolve) => setImmediate(resolve));
      // Not always at the same place.
      for (let turn = 0; turn < 300 * death; turn += 1) Math.random();
      await Promise.all(doomed.map((worker) => worker.terminate()));
      for (const row of [1, 2]) {
        places.reclaim(row);
        bytes.reclaim(row);
      }
      assert.deepEqual([places.count, bytes.held], [0, 0]);
    }
  });
});

describe('a door with a crowd in each of two threads', () => {
  const settings = {
    ...{ maxConcurrent: 2, queueSize: 100, queueTimeoutMs: 60_000, ratePerSecond: undefined },
  };

  it('lets in no more than may be at once, and everybody in the end', async (t) => {
    const crew = new Crew(t);
    const { memory, channels } = crew;
    const door = openDoor(settings, systemClock, { kind: 'control', memory, channels });
    const order = { what: 'door', limit: 2, turns: 1500 } as const;
    const done = await Promise.all([1, 2].map((row) => end(crew.start(row, order))));
    assert.deepEqual(
      done.map(({ taken }) => taken),
      [4500, 4500],
    );
    while (door.inFlight > 0) await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual([door.queued, crew.inside], [0, 0]);
  });

  it('does not miss those of a thread that dies, nor keep its places', async (t) => {
    const crew = new Crew(t);
    const { memory, channels } = crew;
    const door = openDoor(settings, systemClock, { kind: 'control', memory, channels });
    const doomed = crew.start(1, { what: 'door', limit: 9, turns: Infinity });
    const survivor = crew.start(2, { what: 'door', limit: 9, turns: 1500 });
    const survived = end(survivor);
    await Promise.all([once(doomed, 'message'), once(survivor, 'message')]);
    await doomed.terminate();
    channels.end(1);
    crew.forget();
    assert.equal((await survived).taken, 4500);
    while (door.inFlight > 0) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(door.queued, 0);
    // The row is another thread's now.
    const order = { what: 'door', limit: 9, turns: 100 } as const;
    assert.equal((await end(crew.start(1, order))).taken, 300);
  });
});
