import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { eventually } from '../../test/support/fleet.ts';
import { THREAD_MISSING } from '../app/shared-state.ts';
import { SharedFlag } from '../base/shared-flag.ts';
import { systemClock } from '../base/system-clock.ts';
import type { ThreadEnd } from '../observe/thread-metrics.ts';
import { RequestThreads } from './request-threads.ts';
import { LISTEN, type ThreadStart } from './thread-messages.ts';

const STUB = new URL('../../test/threads/stub-thread.ts', import.meta.url);
/** What the stub never gets to listen on. */
const NEVER = 65_535;
const NOTHING = {} as Omit<ThreadStart, 'row' | 'rows' | 'regions'>;

interface Bench {
  readonly threads: RequestThreads;
  /** Ends of threads, in their order. */
  readonly ends: (readonly [row: number, end: ThreadEnd])[];
  /** What they ended over, in the same order. */
  readonly errors: unknown[];
  /** Resolves to the row of the next thread that has been replaced. */
  readonly replaced: () => Promise<number>;
  /** What threads that begin are to listen on. */
  readonly listen: { port: number };
}

async function start(
  t: TestContext,
  count: number,
  { port = 1, ends = [] }: { port?: number; ends?: Bench['ends'] } = {},
): Promise<Bench> {
  const threads = new RequestThreads(count, systemClock);
  t.after(() => threads.end());
  const listen = { port };
  const errors: unknown[] = [];
  let wake: (row: number) => void = () => undefined;
  await threads.start({
    clock: systemClock,
    entry: STUB,
    heapMb: 32,
    silentMs: 1_000,
    hungMs: 3_000,
    bringUpMs: 3_000,
    start: () => NOTHING,
    bringUp: (channel) => channel.ask(LISTEN, listen.port),
    onEnded: (row, end, error) => {
      ends.push([row, end]);
      errors.push(error);
    },
    onReplaced: (row) => {
      wake(row);
    },
  });
  return { threads, ends, errors, listen, replaced: () => new Promise((resolve) => (wake = resolve)) };
}

describe('threads that serve requests', () => {
  for (const [how, end, why] of [
    ['exception', 'fault', /a fault/],
    ['exit', 'fault', /it ended itself, with exit code 0/],
    ['out_of_memory', 'out_of_memory', /heap out of memory/],
  ] as const)
    it(`one that ends by ${how} is replaced, and the others do not notice`, async (t) => {
      const { threads, ends, errors, replaced } = await start(t, 2);
      const lost: number[] = [];
      threads.channels.onEnded((row) => lost.push(row));
      const other = threads.channels.to(2);
      const again = replaced();
      threads.channels.to(1)?.post({ name: 'end' }, how);
      assert.equal(await again, 1);
      assert.deepEqual([ends, lost], [[[1, end]], [1]]);
      assert.match(String(errors[0]), why);
      assert.equal(threads.channels.to(2), other);
      await threads.channels.to(1)?.ask(LISTEN, 1);
      assert.equal(threads.running, 2);
    });

  it('one that serves and ends while others only begin is replaced as well', async (t) => {
    const threads = new RequestThreads(2, systemClock);
    t.after(() => threads.end());
    const { promise: lost, resolve: onLost } = Promise.withResolvers<number>();
    let ends = 0;
    const started = threads.start({
      clock: systemClock,
      entry: STUB,
      heapMb: 32,
      start: () => NOTHING,
      bringUp: async (channel, row) => {
        await channel.ask(LISTEN, 1);
        if (row === 2) await lost;
      },
      onEnded: (row) => {
        ends += 1;
        onLost(row);
      },
      onReplaced: () => undefined,
    });
    await eventually(() => threads.serves(1));
    threads.channels.to(1)?.post({ name: 'end' }, 'exception');
    await eventually(() => ends === 1);
    assert.equal(await lost, 1);
    await started;
    await eventually(() => threads.running === 2);
  });

  it('one whose event loop does not turn is missing first, and then replaced', async (t) => {
    const { threads, ends, replaced } = await start(t, 2);
    const missing = new SharedFlag(threads.memory, THREAD_MISSING);
    const again = replaced();
    threads.channels.to(1)?.post({ name: 'end' }, 'hung');
    await eventually(() => missing.isUp);
    assert.deepEqual(ends, []);
    assert.equal(await again, 1);
    assert.deepEqual(ends, [[1, 'hung']]);
    await eventually(() => !missing.isUp);
  });

  it('one that begins and does not get to serve is replaced', async (t) => {
    const { threads, ends, listen, replaced } = await start(t, 2);
    listen.port = NEVER;
    threads.channels.to(1)?.post({ name: 'end' }, 'exception');
    await eventually(() => ends.length === 2, 30_000);
    assert.deepEqual(ends[1], [1, 'hung']);
    assert.deepEqual([threads.serves(1), threads.serves(2), threads.running], [false, true, 1]);
    const again = replaced();
    listen.port = 1;
    await again;
    assert.equal(threads.running, 2);
  });

  it('from the word on that no more begin those that do not serve yet are ended, and nobody is replaced', async (t) => {
    const { threads, ends, listen } = await start(t, 2);
    listen.port = NEVER;
    const first = threads.channels.to(1);
    first?.post({ name: 'end' }, 'exception');
    await eventually(() => ![undefined, first].includes(threads.channels.to(1)));
    threads.beginNoMore();
    await eventually(() => threads.channels.to(1) === undefined);
    threads.channels.to(2)?.post({ name: 'end' }, 'exception');
    await eventually(() => threads.channels.to(2) === undefined);
    // Longer than the pause before the next one.
    await pause(500);
    assert.deepEqual([...threads.channels.rows], []);
    assert.deepEqual(
      ends.map(([row]) => row),
      [1, 1, 2],
    );
  });

  it('all end where one does not get to serve, which is no end of one that is replaced', async (t) => {
    const ends: Bench['ends'] = [];
    await assert.rejects(start(t, 2, { port: 0, ends }), /port 0 cannot be shared/);
    assert.deepEqual(ends, []);
  });
});
