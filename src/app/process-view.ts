import type { Clock } from '../base/clock.ts';
import type { ThreadPart } from '../base/thread-part.ts';
import type { DecisionLogSettings, Settings } from '../config/settings/settings.ts';
import { VERSION } from '../config/version.ts';
import { DecisionLog } from '../decisions/decision-log.ts';
import { PostedRecords, takeRecords } from '../decisions/posted-records.ts';
import type { Log } from '../observe/log.ts';
import { MergedMetrics } from '../observe/merged-metrics.ts';
import { createMetrics, type Metrics } from '../observe/metrics.ts';
import { MetricsFeed } from '../observe/metrics-feed.ts';
import type { MetricsServerDeps } from '../observe/metrics-server.ts';
import { observeThread, ONLY_THREAD, ThreadCounts } from '../observe/thread-metrics.ts';
import { DecisionRecords } from '../request/record/decision-records.ts';
import { DecisionRing } from '../request/record/decision-ring.ts';
import { findDecisions, offerDecisions } from '../request/record/merged-decisions.ts';

/** What is seen of the process, whatever thread it happened in: in control all of it, in a request thread what it adds. */
export interface ProcessView {
  readonly metrics: Metrics;
  /** Where this thread puts its records... */
  readonly decisions: DecisionRing;
  readonly decisionLog: DecisionLog | PostedRecords | undefined;
  /** ...and those of all threads. */
  readonly records: DecisionRecords;
  /** What the server of metrics needs to know of threads. */
  readonly scrape: Pick<MetricsServerDeps, 'gather' | 'thread' | 'connections'>;
  /** Hands over what is left, in a request thread. */
  close(): Promise<void>;
}

export interface ProcessViewDeps {
  readonly part: ThreadPart;
  readonly clock: Clock;
  readonly log: Log;
  /** Connections of clients in this thread. */
  readonly connections: () => number;
}

export function openProcessView(settings: Settings, deps: ProcessViewDeps): ProcessView {
  const { part } = deps;
  const decisions = new DecisionRing(settings.decisionRing, part.memory);
  const own = {
    decisions,
    metrics: createMetrics({ version: VERSION }),
    records: new DecisionRecords(decisions, (query) => Promise.resolve(decisions.find(query))),
    close: () => Promise.resolve(),
  };
  switch (part.kind) {
    case 'alone':
      return alone(own, settings, deps);
    case 'control':
      return inControl(own, settings, { ...deps, ...part });
    case 'request':
      return inRequestThread(own, settings, { ...deps, ...part });
  }
}

type Own = Omit<ProcessView, 'decisionLog' | 'scrape'>;
type Of<K extends ThreadPart['kind']> = ProcessViewDeps & Extract<ThreadPart, { readonly kind: K }>;

function alone(own: Own, { decisionLog }: Settings, deps: ProcessViewDeps): ProcessView {
  new ThreadCounts(own.metrics, 1).running(1);
  return {
    ...own,
    decisionLog: decisionLog && openLog(decisionLog, deps),
    scrape: { thread: ONLY_THREAD, connections: deps.connections },
  };
}

function inControl(own: Own, settings: Settings, deps: Of<'control'>): ProcessView {
  const { channels } = deps;
  const { decisions, metrics } = own;
  const merged = new MergedMetrics(metrics.registry, channels);
  channels.onEnded((row) => {
    decisions.reclaim(row);
  });
  const decisionLog = settings.decisionLog && openLog(settings.decisionLog, deps);
  if (decisionLog) takeRecords(channels, decisionLog);
  return {
    ...own,
    decisionLog,
    records: new DecisionRecords(decisions, (query) => findDecisions(channels, query)),
    scrape: { gather: () => merged.gather(), thread: 'control' },
  };
}

function inRequestThread(own: Own, settings: Settings, deps: Of<'request'>): ProcessView {
  const { channel, memory, clock } = deps;
  const { decisionLog } = settings;
  offerDecisions(own.decisions, memory.self, channel);
  return {
    ...own,
    decisionLog: decisionLog && new PostedRecords(decisionLog, { channel, clock, threads: memory.rows - 1 }),
    scrape: {},
    // Nobody asks for metrics that are off.
    close: settings.metrics.enabled ? feedMetrics(own.metrics, deps) : own.close,
  };
}

function feedMetrics(metrics: Metrics, deps: Of<'request'>): () => Promise<void> {
  const { memory, connections } = deps;
  const stop = observeThread(metrics, { thread: String(memory.self), connections });
  const feed = new MetricsFeed(metrics.registry, deps);
  return async () => {
    stop();
    await feed.close();
  };
}

function openLog(settings: DecisionLogSettings, { clock, log }: ProcessViewDeps): DecisionLog {
  return new DecisionLog(settings, {
    clock,
    onTrouble: (error, dropped) => log.error({ err: error, dropped }, 'the decision log cannot be written'),
  });
}
