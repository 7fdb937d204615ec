import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { eventually } from '../../test/support/fleet.ts';
import { THREAD_MISSING } from '../app/shared-state.ts';
import { SharedFlag } from '../base/shared-flag.ts';
import { systemClock } from '../base/system-clock.ts';
import type { ThreadEnd } from '../observe/thread-metrics.ts';
import { RequestThreads } from './request-threads.ts';
import { LISTEN, type ThreadStart } from './thread-messages.ts';

const STUB = new URL('../../test/threads/stub-thread.ts', import.meta.url);
const NOTHING = {} as Omit<ThreadStart, 'row' | 'rows' | 'regions'>;

interface Bench {
  readonly threads: RequestThreads;
  /** Ends of threads, in their order. */
  readonly ends: (readonly [row: number, end: ThreadEnd])[];
  /** Resolves to the row of the next thread that has been replaced. */
  readonly replaced: () => Promise<number>;
}

async function start(t: TestContext, count: number, port = 1): Promise<Bench> {
  const threads = new RequestThreads(count, systemClock);
  t.after(() => threads.end());
  const ends: Bench['ends'] = [];
  let wake: (row: number) => void = () => undefined;
  await threads.start({
    clock: systemClock,
    entry: STUB,
    heapMb: 32,
    silentMs: 1_000,
    hungMs: 3_000,
    start: () => NOTHING,
    bringUp: (channel) => channel.ask(LISTEN, port),
    onEnded: (row, end) => ends.push([row, end]),
    onReplaced: (row) => {
      wake(row);
    },
  });
  return { threads, ends, replaced: () => new Promise((resolve) => (wake = resolve)) };
}

describe('threads that serve requests', () => {
  for (const [how, end] of [
    ['exception', 'fault'],
    ['exit', 'fault'],
    ['out_of_memory', 'out_of_memory'],
  ] as const)
    it(`one that ends by ${how} is replaced, and the others do not notice`, async (t) => {
      const { threads, ends, replaced } = await start(t, 2);
      const lost: number[] = [];
      threads.channels.onEnded((row) => lost.push(row));
      const other = threads.channels.to(2);
      const again = replaced();
      threads.channels.to(1)?.post({ name: 'end' }, how);
      assert.equal(await again, 1);
      assert.deepEqual([ends, lost], [[[1, end]], [1]]);
      assert.equal(threads.channels.to(2), other);
      await threads.channels.to(1)?.ask(LISTEN, 1);
      assert.equal(threads.running, 2);
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

  it('all end where one does not get to serve', async (t) => {
    await assert.rejects(start(t, 2, 0), /port 0 cannot be shared/);
  });
});
