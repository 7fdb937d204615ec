import type { Metrics } from '../../observe/metrics.ts';
import { noCounts, REPLAY_OUTCOMES, type EventCounts } from '../events/event-counts.ts';
import type { RankReport } from '../events/rank-events.ts';
import type { WorkerEventsReport } from '../events/worker-events.ts';
import type { EventsReport } from './thread-messages.ts';

/** What the index thread reports are totals of its own life, and of single ranks; the series go on from one thread to the next. */
export class EventMetrics {
  readonly #metrics: Metrics;
  /** By slot: what was counted already. */
  readonly #before = new Map<number, WorkerEventsReport>();
  #strangersBefore = noCounts();
  #evictedBefore = 0;

  constructor(metrics: Metrics) {
    this.#metrics = metrics;
  }

  /** @param idOf Its id, where the worker of the report is the one that has the slot now. */
  add(
    { workers, counts, index }: EventsReport,
    idOf: (worker: WorkerEventsReport) => string | undefined,
  ): void {
    for (const worker of workers) {
      const id = idOf(worker);
      if (id !== undefined) this.#addWorker(worker, id);
    }
    this.#countUnused('', counts, this.#strangersBefore);
    this.#strangersBefore = counts;
    this.#metrics.kvIndexEvictedTotal.with().inc(index.evicted - this.#evictedBefore);
    this.#evictedBefore = index.evicted;
  }

  left(slot: number): void {
    this.#before.delete(slot);
  }

  /** The next thread counts from 0. */
  ended(): void {
    this.#before.clear();
    this.#strangersBefore = noCounts();
    this.#evictedBefore = 0;
  }

  #addWorker(worker: WorkerEventsReport, id: string): void {
    const last = this.#before.get(worker.slot);
    const before = last?.generation === worker.generation ? last.ranks : [];
    this.#before.set(worker.slot, worker);
    for (const rank of worker.ranks) this.#count(id, rank.counts, countedOf(rank, before));
  }

  /** A counter that begins with its first event hides it from Prometheus' rate(): those of a fault are there from the first report on. */
  #count(worker: string, now: EventCounts, before: EventCounts): void {
    const metrics = this.#metrics;
    metrics.kvEventsBatchesTotal.with(worker).inc(now.batches - before.batches);
    for (const kind of ['stored', 'removed', 'cleared'] as const)
      metrics.kvEventsTotal.with(worker, kind).inc(now[kind] - before[kind]);
    metrics.kvEventsGapsTotal.with(worker).inc(now.gaps - before.gaps);
    metrics.kvEventsRestartsTotal.with(worker).inc(now.restarts - before.restarts);
    metrics.kvEventsMalformedTotal.with(worker).inc(now.malformed - before.malformed);
    for (const outcome of REPLAY_OUTCOMES)
      metrics.kvEventsReplaysTotal.with(worker, outcome).inc(now.replays[outcome] - before.replays[outcome]);
    this.#countUnused(worker, now, before);
  }

  #countUnused(worker: string, now: EventCounts, before: EventCounts): void {
    const metrics = this.#metrics;
    for (const [reason, count] of changes(now.dropped, before.dropped))
      metrics.kvEventsDroppedTotal.with(worker, reason).inc(count);
    for (const [cause, count] of changes(now.ends, before.ends))
      metrics.kvEventsConnectionEndsTotal.with(worker, cause).inc(count);
  }
}

/** A rank whose place has changed counts from 0; so does one that went and came back between two reports. */
function countedOf(rank: RankReport, before: readonly RankReport[]): EventCounts {
  const last = before.find((one) => one.rank === rank.rank && one.endpoint === rank.endpoint);
  return last && isLater(rank.counts, last.counts) ? last.counts : noCounts();
}

function isLater(now: EventCounts, before: EventCounts): boolean {
  const { replays, dropped, ends, ...plain } = before;
  const { replays: nowReplays, dropped: nowDropped, ends: nowEnds, ...nowPlain } = now;
  return (
    isNoneLess(nowPlain, plain) &&
    isNoneLess(nowReplays, replays) &&
    isNoneLess(nowDropped, dropped) &&
    isNoneLess(nowEnds, ends)
  );
}

function isNoneLess(
  now: Readonly<Record<string, number>>,
  before: Readonly<Record<string, number>>,
): boolean {
  return Object.entries(before).every(([name, count]) => (now[name] ?? 0) >= count);
}

function* changes(
  now: Readonly<Record<string, number>>,
  before: Readonly<Record<string, number>>,
): Generator<readonly [name: string, count: number]> {
  for (const [name, count] of Object.entries(now)) {
    const more = count - (before[name] ?? 0);
    if (more > 0) yield [name, more];
  }
}
