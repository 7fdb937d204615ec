import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it, type TestContext } from 'node:test';
import { MessageChannel, Worker } from 'node:worker_threads';
import fc from 'fast-check';
import type { Channel } from '../base/channel.ts';
import { PortChannel, PortChannels } from '../base/port-channel.ts';
import { VirtualClock } from '../base/virtual-clock.ts';
import { MergedMetrics } from './merged-metrics.ts';
import { createMetrics, type Metrics } from './metrics.ts';
import { MetricsFeed, type MetricsPiece } from './metrics-feed.ts';
import { HANG, HANGS } from '../../test/threads/hang.ts';

interface Thread {
  readonly metrics: Metrics;
  readonly feed: MetricsFeed;
  readonly clock: VirtualClock;
}

interface Together {
  readonly control: Metrics;
  readonly merged: MergedMetrics;
  readonly channels: PortChannels;
  readonly threads: readonly Thread[];
  /** A thread, in place of one that has ended. */
  readonly start: (row: number) => Thread;
  readonly close: () => void;
}

/** Control and request threads, all in this one. */
function together(count: number): Together {
  const control = createMetrics();
  const channels = new PortChannels();
  const merged = new MergedMetrics(control.registry, channels);
  const ports: { close(): void }[] = [];
  const start = (row: number): Thread => {
    const { port1, port2 } = new MessageChannel();
    ports.push(port1);
    channels.add(row, port1);
    const clock = new VirtualClock();
    const metrics = createMetrics();
    return {
      metrics,
      clock,
      feed: new MetricsFeed(metrics.registry, { channel: new PortChannel(port2), clock }),
    };
  };
  const threads = Array.from({ length: count }, (_, index) => start(index + 1));
  const close = (): void => {
    for (const port of ports) port.close();
  };
  return { control, merged, channels, threads, start, close };
}

function opened(t: TestContext, count: number): Together {
  const it = together(count);
  t.after(it.close);
  return it;
}

/** Without a thread's own gauges, lines in the order of their families. */
async function lines(metrics: Metrics): Promise<string[]> {
  return (await metrics.registry.text()).split('\n').sort();
}

/** Sums of these are exact, in whatever order. */
const seconds = fc.integer({ min: 0, max: 4000 }).map((n) => n / 64);
const route = fc.constantFrom('/v1/a', '/v1/b', 'odd "route"\n');
const worker = fc.constantFrom('http://w1', 'http://w2', 'http://w3');
const events = fc.array(
  fc.record({
    thread: fc.nat(2),
    what: fc.oneof(
      fc.tuple(fc.constant('request' as const), route, seconds),
      fc.tuple(fc.constant('attempt' as const), worker, seconds),
      fc.tuple(fc.constant('left' as const), worker, seconds),
      fc.tuple(fc.constant('joined' as const), worker, seconds),
      fc.tuple(fc.constant('scrape' as const), route, seconds),
    ),
  }),
  { maxLength: 60 },
);

function happen(metrics: Metrics, kind: string, name: string, secs: number): void {
  if (kind === 'request') {
    metrics.requestsTotal.with(name).inc();
    metrics.requestDurationSeconds.with(name).observe(secs);
    metrics.overheadSeconds.with().observe(secs);
  } else if (kind === 'attempt') {
    metrics.processedRequestsTotal.with(name).inc();
    metrics.workerRequestDurationSeconds.with('/x', name).observe(secs);
  } else if (kind === 'joined') metrics.workerJoined(name);
  else if (kind === 'left') metrics.workerLeft(name);
}

describe('the metrics of several threads', () => {
  it('are, line for line, those of one thread that had all the events', async () => {
    await fc.assert(
      fc.asyncProperty(events, async (list) => {
        const { control, merged, threads, close } = together(3);
        try {
          const alone = createMetrics();
          for (const { thread, what } of list) {
            const [kind, name, secs] = what;
            happen(alone, kind, name, secs);
            if (kind === 'scrape') await merged.gather();
            else if (kind === 'left' || kind === 'joined') {
              // Counted before, shown before: what a worker's end takes along is the same then.
              await merged.gather();
              for (const metrics of [control, ...threads.map((one) => one.metrics)])
                happen(metrics, kind, name, secs);
            } else happen(threads[thread]?.metrics ?? control, kind, name, secs);
          }
          await merged.gather();
          assert.deepEqual(await lines(control), await lines(alone));
        } finally {
          close();
        }
      }),
      { seed: 7, numRuns: 60 },
    );
  });

  it('show gauges by the rule of their family: together, the highest, or what control says', async (t) => {
    const { control, merged, threads, channels } = opened(t, 2);
    for (const [index, { metrics }] of threads.entries()) {
      metrics.processHeapBytes.with().set(10 * (index + 1));
      metrics.hookCbState.with('guard').set(2 - index);
      metrics.inflightRequests.with().set(99);
      metrics.threadConnections.with(String(index + 1)).set(5 + index);
    }
    control.inflightRequests.with().set(7);
    const shown = async (): Promise<string[]> =>
      (await lines(control)).filter((line) =>
        /^(process_heap_bytes|vllm_router_(hook_cb_state|inflight_requests|thread_connections))[ {]/.test(
          line,
        ),
      );
    await merged.gather();
    assert.deepEqual(await shown(), [
      'process_heap_bytes 30',
      'vllm_router_hook_cb_state{hook="guard"} 2',
      'vllm_router_inflight_requests 7',
      'vllm_router_thread_connections{thread="1"} 5',
      'vllm_router_thread_connections{thread="2"} 6',
    ]);
    channels.end(1);
    assert.deepEqual(await shown(), [
      'process_heap_bytes 20',
      'vllm_router_hook_cb_state{hook="guard"} 1',
      'vllm_router_inflight_requests 7',
      'vllm_router_thread_connections{thread="2"} 6',
    ]);
  });

  it('keep what a thread had counted when it ends, and begin at nothing with the one in its place', async (t) => {
    const { control, merged, threads, channels, start } = opened(t, 2);
    for (const { metrics } of threads) metrics.requestsTotal.with('/x').inc(3);
    await merged.gather();
    threads[0]?.metrics.requestsTotal.with('/x').inc(100);
    channels.end(1);
    assert.equal(control.requestsTotal.with('/x').value, 6);
    start(1).metrics.requestsTotal.with('/x').inc(1);
    await merged.gather();
    assert.equal(control.requestsTotal.with('/x').value, 7);
  });

  it('come once a second without being asked for, and no more while control does not take them', async () => {
    const clock = new VirtualClock();
    const metrics = createMetrics();
    const pieces: MetricsPiece[] = [];
    let taken = Promise.withResolvers<never>();
    const channel: Channel = {
      post: (_, body) => void pieces.push(body as MetricsPiece),
      ask: () => taken.promise,
      on: () => undefined,
      answer: () => undefined,
    };
    const feed = new MetricsFeed(metrics.registry, { channel, clock });
    await feed.flush();
    const atFirst = pieces.length;
    const after = async (): Promise<number> => {
      metrics.requestsTotal.with('/x').inc();
      clock.advance(1000);
      for (let turns = 0; turns < 50; turns += 1) await new Promise((resolve) => setImmediate(resolve));
      return pieces.length - atFirst;
    };
    assert.deepEqual([await after(), await after(), await after()], [1, 1, 1]);
    const { reject } = taken;
    taken = Promise.withResolvers();
    reject(new Error('control is gone'));
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(await after(), 2);
    // Nothing that was counted meanwhile is lost.
    assert.equal(pieces.at(-1)?.numbers[0], 3);
    await feed.close();
  });

  it('come a few pieces at a time: control has its turns between', async () => {
    const metrics = createMetrics();
    for (let n = 0; n < 6000; n += 1) metrics.processedRequestsTotal.with(`w${n}`).inc();
    let underWay = 0;
    let most = 0;
    let told = 0;
    const channel: Channel = {
      post: (_, body) => {
        underWay += 1;
        most = Math.max(most, underWay);
        told += (body as MetricsPiece).ids.length;
      },
      ask: () => {
        underWay = 0;
        return Promise.resolve(undefined as never);
      },
      on: () => undefined,
      answer: () => undefined,
    };
    const feed = new MetricsFeed(metrics.registry, { channel, clock: new VirtualClock() });
    await feed.close();
    assert.equal(most, 4);
    assert.ok(told >= 6000);
  });

  it('do not bring back a worker that control has given up, whatever a thread still counts', async (t) => {
    const { control, merged, threads } = opened(t, 1);
    const [thread] = threads;
    assert.ok(thread);
    const both = [control, thread.metrics];
    for (const metrics of both) metrics.workerJoined('w');
    thread.metrics.processedRequestsTotal.with('w').inc();
    await merged.gather();
    control.workerLeft('w');
    thread.metrics.processedRequestsTotal.with('w').inc();
    await merged.gather();
    assert.ok(!(await control.registry.text()).includes('worker="w"'));
    thread.metrics.workerLeft('w');
    for (const metrics of both) metrics.workerJoined('w');
    thread.metrics.processedRequestsTotal.with('w').inc();
    await merged.gather();
    assert.match(await control.registry.text(), /processed_requests_total\{worker="w"\} 1\n/);
  });
});

describe('the metrics of real threads', () => {
  const program = new URL('../../test/threads/counting-thread.ts', import.meta.url);

  function startThreads(t: TestContext, channels: PortChannels, perThread: number): Worker[] {
    return [1, 2].map((row) => {
      const worker = new Worker(program, { workerData: { perThread, row } });
      worker.on('exit', () => {
        channels.end(row);
      });
      // It has what a port has; only its overloads are others.
      channels.add(row, worker);
      t.after(() => worker.terminate());
      return worker;
    });
  }

  it('are what was counted, however many scrapes run meanwhile, and none sees a counter fall', async (t) => {
    const control = createMetrics();
    const channels = new PortChannels();
    const merged = new MergedMetrics(control.registry, channels);
    const PER_THREAD = 300_000;
    const done = Promise.all(
      startThreads(t, channels, PER_THREAD).map((worker) => once(worker, 'exit')),
    ).then(() => true);
    let seen = 0;
    let scrapes = 0;
    while (!(await Promise.race([done, merged.gather().then(() => false)]))) {
      const { value } = control.requestsTotal.with('/counted');
      assert.ok(value >= seen);
      if (value > seen) scrapes += 1;
      seen = value;
    }
    assert.equal(control.requestsTotal.with('/counted').value, 2 * PER_THREAD);
    assert.equal(control.requestDurationSeconds.with('/counted').count, 2 * PER_THREAD);
    assert.equal(control.processedRequestsTotal.with('w1').value, PER_THREAD);
    assert.ok(scrapes > 2, `${scrapes} scrapes saw it grow`);
  });

  it('stay when one is killed; and one that does nothing else holds no scrape up', async (t) => {
    const control = createMetrics();
    const channels = new PortChannels();
    const merged = new MergedMetrics(control.registry, channels);
    const [first] = startThreads(t, channels, Infinity);
    assert.ok(first);
    const { promise: hangs, resolve } = Promise.withResolvers<undefined>();
    channels.on(HANGS, () => resolve(undefined));
    const counted = (row: number): number => control.processedRequestsTotal.with(`w${row}`).value;
    while (counted(1) === 0 || counted(2) === 0) await merged.gather();
    // Says so, and never comes back to its event loop.
    channels.to(1)?.post(HANG, undefined);
    await hangs;
    const before = { first: counted(1), second: counted(2) };
    const began = performance.now();
    await merged.gather();
    assert.ok(performance.now() - began < 5000);
    assert.ok(counted(1) >= before.first && counted(2) > before.second);
    const last = counted(1);
    await first.terminate();
    await merged.gather();
    assert.deepEqual([counted(1), [...channels.rows]], [last, [2]]);
  });
});
