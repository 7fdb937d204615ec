import { monitorEventLoopDelay } from 'node:perf_hooks';
import { getHeapStatistics } from 'node:v8';
import type { Metrics } from './metrics.ts';

/** The label of a router's only thread. */
export const ONLY_THREAD = '1';

/** Each costs a wake-up: at 10 ms they alone were a third of a percent of a core, all day. */
const RESOLUTION_MS = 40;

export interface ObservedThread {
  /** `control`, or the number of the request thread. */
  readonly thread: string;
  /** Connections of clients that it holds right now; absent where it has none. */
  readonly connections?: (() => number) | undefined;
}

/**
 * Feeds the series of one thread, its heap and its event loop at each scrape, until the returned function is called. The delay
 * is the one since the scrape before, as an alert needs it; the timer's own period is taken off.
 */
export function observeThread(metrics: Metrics, { thread, connections }: ObservedThread): () => void {
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delay.enable();
  const off = [
    metrics.processHeapBytes.onCollect((family) => {
      family.with().set(getHeapStatistics().total_heap_size);
    }),
    // Of the two series of one delay, the one that is written first: the other one would be a scrape late.
    metrics.threadEventLoopLagSeconds.onCollect((family) => {
      const p99Ms = delay.count === 0 ? 0 : delay.percentile(99) / 1e6;
      const seconds = Math.max(0, p99Ms - RESOLUTION_MS) / 1000;
      delay.reset();
      family.with(thread).set(seconds);
      metrics.nodejsEventloopLagP99Seconds.with().set(seconds);
    }),
  ];
  if (connections)
    off.push(
      metrics.threadConnections.onCollect((family) => {
        family.with(thread).set(connections());
      }),
    );
  return () => {
    delay.disable();
    for (const stop of off) stop();
  };
}

/** Why a request thread was replaced. */
export type ThreadEnd = 'fault' | 'out_of_memory' | 'hung';

/** What whoever starts and replaces request threads tells of them. */
export class ThreadCounts {
  readonly #metrics: Pick<Metrics, 'threads' | 'threadRestartsTotal'>;

  /** @param configured How many there are to be. */
  constructor(metrics: Pick<Metrics, 'threads' | 'threadRestartsTotal'>, configured: number) {
    this.#metrics = metrics;
    metrics.threads.with('configured').set(configured);
    for (const reason of ['fault', 'out_of_memory', 'hung'] as const)
      metrics.threadRestartsTotal.with(reason);
  }

  running(count: number): void {
    this.#metrics.threads.with('running').set(count);
  }

  replaced(reason: ThreadEnd): void {
    this.#metrics.threadRestartsTotal.with(reason).inc();
  }
}
