import type { Clock } from '../base/clock.ts';
import type { ThreadPart } from '../base/thread-part.ts';
import type { MetricsServerDeps } from '../observe/metrics-server.ts';
import { MergedMetrics } from '../observe/merged-metrics.ts';
import type { Metrics } from '../observe/metrics.ts';
import { MetricsFeed } from '../observe/metrics-feed.ts';
import { observeThread, ONLY_THREAD, ThreadCounts } from '../observe/thread-metrics.ts';

/** What makes the metrics of several threads those of one process. */
export interface ProcessView {
  /** What a scrape needs to know of threads. */
  readonly scrape: Pick<MetricsServerDeps, 'gather' | 'thread' | 'connections'>;
  /** In a request thread: hands over what is left. */
  close(): Promise<void>;
}

export interface ProcessViewDeps {
  readonly metrics: Metrics;
  readonly clock: Clock;
  /** Connections of clients in this thread. */
  readonly connections: () => number;
}

export function openProcessView(
  part: ThreadPart,
  { metrics, clock, connections }: ProcessViewDeps,
): ProcessView {
  const { registry } = metrics;
  switch (part.kind) {
    case 'alone':
      new ThreadCounts(metrics, 1).running(1);
      return { scrape: { thread: ONLY_THREAD, connections }, close: () => Promise.resolve() };
    case 'control': {
      const merged = new MergedMetrics(registry, part.channels);
      const gather = (): Promise<void> => merged.gather();
      return { scrape: { gather, thread: 'control' }, close: () => Promise.resolve() };
    }
    case 'request': {
      const thread = String(part.memory.self);
      const stop = observeThread(metrics, { thread, connections });
      const feed = new MetricsFeed(registry, { channel: part.channel, clock });
      return {
        scrape: {},
        close: async () => {
          stop();
          await feed.close();
        },
      };
    }
  }
}
