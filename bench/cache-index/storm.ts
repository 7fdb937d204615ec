import { once } from 'node:events';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Worker } from 'node:worker_threads';
import { systemClock } from '../../src/base/system-clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { EventIndex } from '../../src/cache-knowledge/index-thread/event-index.ts';
import { startHelper } from '../../src/helper-threads/helper-thread.ts';
import { createLog } from '../../src/observe/log.ts';
import { createMetrics } from '../../src/observe/metrics.ts';
import type { PublisherStart } from './publisher.ts';

export interface Storm {
  /** Blocks stored and removed per second, as the index thread applied them. */
  readonly operationsPerSecond: number;
  /** Of this thread's event loop, above the timer's own period. */
  readonly idleP99Ms: number;
  readonly stormP99Ms: number;
  readonly stormMaxMs: number;
}

const RESOLUTION_MS = 1;
const MAX_BYTES = 256 * 2 ** 20;

/** How late the event loop of this thread is while another one takes in what engines tell. */
export async function storm(start: PublisherStart, windowMs: number): Promise<Storm> {
  const idle = await delayDuring(windowMs);
  const publisher = new Worker(new URL('./publisher.ts', import.meta.url), { workerData: start });
  // What publisher.ts posts.
  const [{ port }] = (await once(publisher, 'message')) as [{ readonly port: number }];
  const index = openIndex(port);
  try {
    index.joined({ slot: 0, generation: 1 });
    await until(() => (index.report?.index.stored ?? 0) > 0);
    const before = applied(index);
    const from = performance.now();
    const delay = await delayDuring(windowMs);
    const seconds = (performance.now() - from) / 1000;
    return {
      operationsPerSecond: (applied(index) - before) / seconds,
      idleP99Ms: idle.p99Ms,
      stormP99Ms: delay.p99Ms,
      stormMaxMs: delay.maxMs,
    };
  } finally {
    await index.close();
    await publisher.terminate();
  }
}

function openIndex(port: number): EventIndex {
  const deps = {
    clock: systemClock,
    log: createLog({ level: 'error', format: 'json', dir: undefined }).log,
    metrics: createMetrics(),
  };
  return new EventIndex({
    ...{ clock: systemClock, random: systemRandom, maxBytes: () => MAX_BYTES },
    following: () => ({
      workers: [
        {
          ...{ slot: 0, generation: 1, address: '127.0.0.1:1', models: [] },
          sources: [{ rank: 0, endpoint: `tcp://127.0.0.1:${port}`, replayEndpoint: undefined, topic: '' }],
        },
      ],
      bind: undefined,
    }),
    startHelper: (helper) => startHelper({ ...helper, ...deps }),
  });
}

function applied({ report }: EventIndex): number {
  return report === undefined ? 0 : report.index.stored + report.index.removed + report.index.unknown;
}

async function delayDuring(windowMs: number): Promise<{ readonly p99Ms: number; readonly maxMs: number }> {
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delay.enable();
  await new Promise((resolve) => setTimeout(resolve, windowMs));
  delay.disable();
  const above = (nanoseconds: number): number => Math.max(0, nanoseconds / 1e6 - RESOLUTION_MS);
  return { p99Ms: above(delay.percentile(99)), maxMs: above(delay.max) };
}

async function until(done: () => boolean): Promise<void> {
  while (!done()) await new Promise((resolve) => setTimeout(resolve, 20));
}
