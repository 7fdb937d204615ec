import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createMetrics } from '../../observe/metrics.ts';
import { noCounts, type EventCounts } from '../events/event-counts.ts';
import type { WorkerEventsReport } from '../events/worker-events.ts';
import { EventMetrics } from './event-metrics.ts';
import type { EventsReport } from './thread-messages.ts';

function worker(generation: number, ...ranks: readonly Partial<EventCounts>[]): WorkerEventsReport {
  return {
    ...{ slot: 0, generation, state: 'live', coverage: 'whole' },
    ranks: ranks.map((counts, rank) => ({
      ...{ rank, endpoint: `tcp://w:${5557 + rank}`, replayEndpoint: undefined, state: 'live' as const },
      ...{ coverage: 'whole' as const, reason: undefined, ageMs: 0, lastSeq: 1, parkedBytes: 0 },
      counts: { ...noCounts(), ...counts },
    })),
  };
}

function report(workers: readonly WorkerEventsReport[], evicted = 0, strangers = 0): EventsReport {
  const counts = noCounts();
  counts.dropped.unknown_worker = strangers;
  return {
    ...{ workers, bound: undefined, counts, parkedBytes: 0 },
    index: { entries: 0, bytes: 0, stored: 0, removed: 0, unknown: 0, evicted },
  };
}

describe('series of events', () => {
  it('add what all ranks have counted since the last report, from one thread to the next', () => {
    const metrics = createMetrics();
    const shown = new EventMetrics(metrics);
    const batches = (): number => metrics.kvEventsBatchesTotal.with('w').value;
    const idOf = (): string => 'w';
    shown.add(report([worker(1, { batches: 3 }, { batches: 4 })], 5, 1), idOf);
    shown.add(report([worker(1, { batches: 3 }, { batches: 6 })], 7, 1), idOf);
    assert.deepEqual([batches(), metrics.kvIndexEvictedTotal.with().value], [9, 7]);
    shown.ended();
    shown.add(report([worker(1, { batches: 2 })], 1, 2), idOf);
    assert.deepEqual([batches(), metrics.kvIndexEvictedTotal.with().value], [11, 8]);
    assert.equal(metrics.kvEventsDroppedTotal.with('', 'unknown_worker').value, 3);
  });

  it('take a rank that was followed anew for another one, and a worker that has left for nobody', () => {
    const metrics = createMetrics();
    const shown = new EventMetrics(metrics);
    const idOf = ({ generation }: WorkerEventsReport): string | undefined =>
      generation === 2 ? 'w' : undefined;
    shown.add(report([worker(1, { gaps: 9 })]), idOf);
    assert.equal(metrics.kvEventsGapsTotal.with('w').value, 0);
    shown.add(report([worker(2, { gaps: 5, batches: 9 })]), idOf);
    shown.add(report([worker(2, { gaps: 6, batches: 2 })]), idOf);
    assert.equal(metrics.kvEventsGapsTotal.with('w').value, 11);
    shown.left(0);
    shown.add(report([worker(2, { gaps: 7, batches: 3 })]), idOf);
    assert.equal(metrics.kvEventsGapsTotal.with('w').value, 18);
  });
});
