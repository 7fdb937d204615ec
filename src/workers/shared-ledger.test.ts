import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it, type TestContext } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import fc from 'fast-check';
import { MessageChannel, Worker } from 'node:worker_threads';
import { PortChannel, PortChannels } from '../base/port-channel.ts';
import { systemClock } from '../base/system-clock.ts';
import { JoinedMemory, SharedMemory } from '../base/thread-memory.ts';
import { VirtualClock } from '../base/virtual-clock.ts';
import { BREAKER, HEALTH } from '../../test/support/registry-settings.ts';
import { DEFAULT_TRAITS } from '../config/settings/settings.ts';
import { Drain } from './drain.ts';
import { WorkerRegistry } from './registry.ts';
import { HEARD_ALL } from './idle-watch.ts';
import { LoadLedger, type Lease } from './ledger.ts';

const ask = (prefillTokens: number, stream = true) => ({
  prefillTokens,
  kvTokens: 2 * prefillTokens,
  stream,
});

/** The ledgers of control and of its request threads, all in this one. Messages between them take a turn of the loop. */
class Threads {
  readonly clock = new VirtualClock();
  readonly memory: SharedMemory;
  readonly channels = new PortChannels();
  readonly control: LoadLedger;
  readonly ledgers: LoadLedger[] = [];

  constructor(t: TestContext, threads: number) {
    this.memory = new SharedMemory(threads);
    const part = { kind: 'control', memory: this.memory, channels: this.channels } as const;
    this.control = new LoadLedger(this.clock, { part });
    for (let row = 1; row <= threads; row++) this.ledgers.push(this.begin(t, row));
  }

  begin(t: TestContext, row: number): LoadLedger {
    const { port1, port2 } = new MessageChannel();
    this.channels.add(row, port1);
    t.after(() => {
      port1.close();
    });
    const memory = new JoinedMemory(this.memory.regions, { rows: this.memory.rows, self: row });
    const part = { kind: 'request', memory, channel: new PortChannel(port2) } as const;
    return new LoadLedger(this.clock, { part });
  }

  /** A worker joins, and all threads have heard of it. */
  join(): number {
    const { slot, generation } = this.control.allocate();
    for (const ledger of this.ledgers) ledger.adopt(slot, generation);
    return slot;
  }

  /** What was posted before has come, in both directions. */
  async settled(): Promise<void> {
    await this.channels.askAll(HEARD_ALL, undefined, 60_000);
    await setImmediate();
  }

  get views(): readonly LoadLedger[] {
    return [this.control, ...this.ledgers];
  }
}

/** What everybody sees must be the same. */
function counters(threads: Threads, slot: number, views = threads.views): readonly number[] {
  const [first, ...others] = views.map((ledger) => {
    const { running, prefillTokens } = ledger.columns();
    const asked = [ledger.running(slot), ledger.prefillTokens(slot)];
    assert.deepEqual([running[slot], prefillTokens[slot]], asked);
    return [ledger.own(slot), ...asked, ledger.kvTokens(slot), ledger.openLeases];
  });
  for (const other of others) assert.deepEqual(other, first);
  return first ?? [];
}

describe('a ledger of several threads', () => {
  it('adds up what each has', (t) => {
    const threads = new Threads(t, 2);
    const [one, two] = threads.ledgers;
    const slot = threads.join();
    const leases = [one?.acquire(slot, ask(100)), two?.acquire(slot, ask(10)), two?.acquire(slot, ask(1))];
    assert.deepEqual(counters(threads, slot), [3, 3, 111, 222, 3]);
    assert.deepEqual(
      threads.views.map(({ openLeasesHere }) => openLeasesHere),
      [0, 1, 2],
    );
    leases[1]?.firstToken(10);
    leases[1]?.tokens(5);
    assert.deepEqual(counters(threads, slot), [3, 3, 101, 227, 3]);
    for (const lease of leases) assert.deepEqual([lease?.release(), lease?.release()], [true, false]);
    assert.deepEqual(counters(threads, slot), [0, 0, 0, 0, 0]);
  });

  it('shows everybody what control heard of the load of others, until it is too old', (t) => {
    const threads = new Threads(t, 2);
    const slot = threads.join();
    threads.control.setExternalTtl(3000);
    threads.control.watchKnown(slot);
    const brief = threads.ledgers.map((ledger) => ledger.acquire(slot, ask(10)));
    for (const lease of brief) lease.release();
    const lease = threads.ledgers[1]?.acquire(slot, ask(10));
    assert.equal(threads.control.mostKnown(slot), 2);
    threads.control.setExternal(slot, 6, threads.control.mostKnown(slot), threads.clock.now());
    assert.deepEqual(counters(threads, slot).slice(0, 2), [1, 5]);
    lease?.release();
    threads.clock.advance(3000);
    assert.deepEqual(counters(threads, slot).slice(0, 2), [0, 4]);
    threads.clock.advance(1);
    assert.deepEqual(counters(threads, slot).slice(0, 2), [0, 0]);
  });

  it('shows everybody what other routers have there, as control hears it', (t) => {
    const threads = new Threads(t, 2);
    const slot = threads.join();
    const lease = threads.ledgers[0]?.acquire(slot, ask(10));
    threads.control.setForeign(slot, { running: 3, prefillTokens: 100, kvTokens: 500 });
    for (const ledger of [threads.control, ...threads.ledgers]) {
      const { running, prefillTokens } = ledger.columns();
      assert.deepEqual([running[slot], prefillTokens[slot]], [4, 110]);
      assert.deepEqual([ledger.running(slot), ledger.own(slot), ledger.kvTokens(slot)], [4, 1, 520]);
    }
    lease?.release();
    threads.control.setForeign(slot, { running: 0, prefillTokens: 0, kvTokens: 0 });
    for (const ledger of threads.ledgers) assert.equal(ledger.columns().running[slot], 0);
  });

  it('has the rates that control learns from what all of them see', async (t) => {
    const threads = new Threads(t, 2);
    const [one, two] = threads.ledgers;
    const [slot, other] = [threads.join(), threads.join()];
    const first = one?.acquire(slot, ask(4000));
    // What is ahead of it is in the other thread.
    const second = two?.acquire(slot, ask(6000));
    threads.clock.advance(1000);
    first?.firstToken(4000);
    threads.clock.advance(1500);
    second?.firstToken(6000);
    for (const ledger of threads.views) assert.equal(ledger.prefillRate(slot), 8000);
    threads.clock.advance(5);
    await threads.settled();
    for (const ledger of threads.views) {
      assert.ok(Math.abs(ledger.prefillRate(slot) - 4000) < 1e-6);
      assert.ok(
        Math.abs((ledger.columns().prefillRate[other] ?? 0) - 4000) < 1e-6,
        'the median of the others',
      );
    }
    for (const lease of [first, second]) lease?.release();
  });

  it('does not take a sample of a worker for its successor in the slot', async (t) => {
    const threads = new Threads(t, 1);
    const slot = threads.join();
    const lease = threads.ledgers[0]?.acquire(slot, ask(4000));
    threads.clock.advance(1000);
    lease?.firstToken(4000);
    lease?.release();
    threads.control.free(slot);
    assert.equal(threads.control.allocate().slot, slot);
    threads.clock.advance(5);
    await threads.settled();
    assert.equal(threads.control.prefillRate(slot), 8000);
  });
});

type Step =
  | { readonly do: 'acquire'; readonly thread: number; readonly slot: number; readonly stream: boolean }
  | { readonly do: 'first' | 'release'; readonly lease: number }
  | { readonly do: 'die'; readonly thread: number }
  | { readonly do: 'external'; readonly slot: number; readonly load: number }
  | { readonly do: 'advance'; readonly ms: number };

const [thread, slotOf] = [fc.nat(2), fc.nat(3)];
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('acquire' as const), thread, slot: slotOf, stream: fc.boolean() }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constantFrom('first' as const, 'release' as const), lease: fc.nat(40) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('external' as const), slot: slotOf, load: fc.nat(9) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('advance' as const), ms: fc.nat(900) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('die' as const), thread }) },
);

describe('in any interleaving', () => {
  it('everybody sees the sum of what is open, and nothing of threads that have died', (t) => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80, size: 'max' }), (steps) => {
        const threads = new Threads(t, 3);
        const slots = [0, 1, 2, 3].map(() => threads.join());
        let open: { readonly lease: Lease; readonly by: number }[] = [];
        const run = (one: Step): void => {
          if (one.do === 'advance') threads.clock.advance(one.ms);
          else if (one.do === 'external')
            threads.control.setExternal(one.slot, one.load, 0, threads.clock.now());
          else if (one.do === 'acquire') {
            const lease = threads.ledgers[one.thread]?.acquire(one.slot, ask(100, one.stream));
            if (lease) open.push({ lease, by: one.thread });
          } else if (one.do === 'die') {
            threads.channels.end(one.thread + 1);
            open = open.filter(({ by }) => by !== one.thread);
            const next = (threads.ledgers[one.thread] = threads.begin(t, one.thread + 1));
            for (const slot of slots) next.adopt(slot, 1);
          } else {
            const at = one.lease % Math.max(1, open.length);
            const lease = open[at]?.lease;
            if (one.do === 'first') lease?.firstToken(100);
            else if (lease) assert.equal((open.splice(at, 1), lease.release()), true);
          }
        };
        for (const [at, one] of steps.entries()) {
          run(one);
          // Now this one looks, now that one: what others did meanwhile must not escape it.
          const views = threads.views.slice(at % 4, (at % 4) + 1);
          for (const slot of slots) {
            const mine = open.filter(({ lease }) => lease.slot === slot);
            const [own, , , kv, all] = counters(threads, slot, views);
            assert.deepEqual([own, kv, all], [mine.length, 200 * mine.length, open.length]);
          }
        }
        for (const { lease } of open) lease.release();
        for (const slot of slots)
          assert.deepEqual(counters(threads, slot), [0, threads.control.running(slot), 0, 0, 0]);
      }),
      { numRuns: 150, seed: 7 },
    );
  });

  it('who has not looked for long sees all changes', (t) => {
    const threads = new Threads(t, 2);
    const [one, two] = threads.ledgers;
    const [slot, other] = [threads.join(), threads.join()];
    one?.columns();
    const held = two?.acquire(slot, ask(70));
    for (let round = 0; round < 3000; round++) two?.acquire(other, ask(5)).release();
    assert.deepEqual(counters(threads, slot), [1, 1, 70, 140, 1]);
    held?.release();
    assert.deepEqual(counters(threads, slot), [0, 0, 0, 0, 0]);
  });
});

describe('slots of several threads', () => {
  it('are given out by control, and again when no thread has a lease', (t) => {
    const threads = new Threads(t, 2);
    const [one, two] = threads.ledgers;
    const slot = threads.join();
    const leases = [one?.acquire(slot, ask(10)), two?.acquire(slot, ask(10))];
    threads.control.free(slot);
    one?.left(slot);
    assert.throws(() => one?.acquire(slot, ask(1)), RangeError);
    // The other has not heard of it yet.
    leases.push(two?.acquire(slot, ask(10)));
    for (const lease of leases) {
      assert.notEqual(threads.control.allocate().slot, slot);
      lease?.release();
    }
    const again = threads.control.allocate();
    assert.deepEqual(again, { slot, generation: 2 });
    assert.throws(() => one?.allocate(), /in control/);
  });

  it('do not count a request for the worker that had it before', (t) => {
    const threads = new Threads(t, 2);
    const [one, two] = threads.ledgers;
    const slot = threads.join();
    threads.control.free(slot);
    assert.deepEqual(threads.control.allocate(), { slot, generation: 2 });
    const late = one?.acquire(slot, ask(10));
    two?.adopt(slot, 2);
    const mine = two?.acquire(slot, ask(7));
    assert.deepEqual(counters(threads, slot), [1, 1, 7, 14, 1]);
    late?.firstToken(10);
    late?.tokens(5);
    assert.deepEqual([late?.generation, late?.release(), late?.release()], [1, true, false]);
    assert.deepEqual(counters(threads, slot), [1, 1, 7, 14, 1]);
    mine?.release();
  });

  it('come to an end, with a clear word', (t) => {
    const threads = new Threads(t, 1);
    for (let count = 0; count < 4096; count++) threads.control.allocate();
    assert.throws(() => threads.control.allocate(), /room for 4096 workers/);
    threads.control.free(17);
    assert.equal(threads.control.allocate().slot, 17);
  });
});

describe('the last request on a slot', () => {
  it('is told to control, whichever thread has it', async (t) => {
    const threads = new Threads(t, 2);
    const slot = threads.join();
    const leases = threads.ledgers.map((ledger) => ledger.acquire(slot, ask(10)));
    let idle = 0;
    threads.control.whenIdle(slot, () => (idle += 1));
    const withdraw = threads.control.whenIdle(slot, () => assert.fail('withdrawn'));
    leases[1]?.release();
    await threads.settled();
    assert.equal(idle, 0);
    withdraw();
    leases[0]?.release();
    await threads.settled();
    assert.equal(idle, 1);
    threads.control.whenIdle(slot, () => (idle += 1));
    await threads.settled();
    assert.equal(idle, 2);
    assert.throws(() => threads.ledgers[0]?.whenIdle(slot, () => undefined), /control/);
  });

  it('may be one of a thread that has not heard yet that the worker drains', async (t) => {
    const threads = new Threads(t, 2);
    const { clock, control: ledger } = threads;
    const registry = new WorkerRegistry({ clock, ledger, breaker: BREAKER, health: HEALTH, slowStartMs: 0 });
    const at = { baseUrl: 'http://w', id: 'http://w', rank: undefined, apiKey: undefined };
    const worker = registry.add({ ...at, traits: DEFAULT_TRAITS });
    threads.ledgers[1]?.adopt(worker.slot, worker.generation);
    const drain = new Drain(worker, { clock, ledger, timeoutMs: 60_000 });
    let end = '';
    void drain.ended.then((how) => (end = how));
    // Control has looked at the counts, and its messages are under way.
    const late = threads.ledgers[1]?.acquire(worker.slot, ask(10));
    await threads.settled();
    assert.equal(end, '');
    late?.release();
    assert.equal(await drain.ended, 'idle');
  });

  it('ends with its thread', async (t) => {
    const threads = new Threads(t, 2);
    const [one, two] = threads.ledgers;
    const slot = threads.join();
    const held = [one?.acquire(slot, ask(100)), one?.acquire(slot, ask(100, false))];
    const other = two?.acquire(slot, ask(10));
    let idle = 0;
    threads.control.whenIdle(slot, () => (idle += 1));
    await threads.settled();
    assert.equal(held.length, 2);
    threads.channels.end(1);
    assert.deepEqual(counters(threads, slot), [1, 1, 10, 20, 1]);
    assert.equal(idle, 0);
    threads.channels.end(2);
    assert.deepEqual(counters(threads, slot), [0, 0, 0, 0, 0]);
    assert.equal(idle, 1);
    assert.ok(other);
    // Its successor has the row.
    const next = threads.begin(t, 1);
    threads.ledgers[0] = next;
    next.adopt(slot, 1);
    const lease = next.acquire(slot, ask(5));
    assert.deepEqual(counters(threads, slot), [1, 1, 5, 10, 1]);
    lease.release();
    assert.deepEqual(counters(threads, slot), [0, 0, 0, 0, 0]);
  });
});

describe('real threads', () => {
  const start = (
    t: TestContext,
    { memory, channels }: { readonly memory: SharedMemory; readonly channels: PortChannels },
    row: number,
    work: object,
  ): Worker => {
    const worker = new Worker(new URL('../../test/threads/hammer-ledger.ts', import.meta.url), {
      workerData: { regions: memory.regions, rows: memory.rows, row, ...work },
    });
    channels.add(row, worker);
    t.after(() => worker.terminate());
    return worker;
  };

  it('leave nothing behind, however they take and give at once', async (t) => {
    const memory = new SharedMemory(3);
    const channels = new PortChannels();
    const control = new LoadLedger(systemClock, { part: { kind: 'control', memory, channels } });
    const slots = [0, 1, 2].map(() => control.allocate());
    const workers = [1, 2, 3].map((row) => start(t, { memory, channels }, row, { slots, rounds: 20_000 }));
    let [most, looks] = [0, 0];
    const timer = setInterval(() => {
      looks += 1;
      for (const { slot } of slots) {
        most = Math.max(most, control.own(slot));
        assert.ok(control.own(slot) >= 0 && control.prefillTokens(slot) >= 0);
      }
    }, 1);
    await Promise.all(workers.map((worker) => once(worker, 'exit')));
    clearInterval(timer);
    assert.ok(looks > 0 && most > 0, `${looks} ${most}`);
    assert.equal(control.openLeases, 0);
    for (const { slot } of slots)
      assert.deepEqual([control.own(slot), control.prefillTokens(slot), control.kvTokens(slot)], [0, 0, 0]);
  });

  it('tell of the last request, and lose what they held when they are killed', async (t) => {
    const memory = new SharedMemory(2);
    const channels = new PortChannels();
    const control = new LoadLedger(systemClock, { part: { kind: 'control', memory, channels } });
    const slots = [control.allocate()];
    const slot = slots[0]?.slot ?? -1;
    const killed = start(t, { memory, channels }, 1, { slots, rounds: Infinity });
    const other = start(t, { memory, channels }, 2, { slots, rounds: 2000, hold: 1 });
    const exit = once(other, 'exit');
    await once(other, 'message');
    while (control.own(slot) < 2) await setImmediate();
    killed.on('exit', () => {
      channels.end(1);
    });
    const idle = new Promise<void>((resolve) => {
      control.whenIdle(slot, resolve);
    });
    await killed.terminate();
    assert.deepEqual([control.own(slot), control.openLeases], [1, 1]);
    other.postMessage({ kind: 'let-go' });
    await idle;
    assert.deepEqual([control.own(slot), control.prefillTokens(slot), control.kvTokens(slot)], [0, 0, 0]);
    await exit;
  });
});
