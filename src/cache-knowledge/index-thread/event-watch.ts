import type { Clock } from '../../base/clock.ts';
import { eventWorkerOf, whyNoSources } from '../events/event-sources.ts';
import type { RankReport } from '../events/rank-events.ts';
import { STATES, type EventsState } from '../exact/exact-memory.ts';
import type { EventIndex } from './event-index.ts';
import { EventMetrics } from './event-metrics.ts';
import { EventStates } from './event-states.ts';
import type { EventsReport } from './thread-messages.ts';
import type { Settings } from '../../config/settings/settings.ts';
import type { Log } from '../../observe/log.ts';
import type { Metrics } from '../../observe/metrics.ts';
import type { SlotId } from '../../workers/ledger.ts';
import type { Roster } from '../../workers/roster.ts';
import type { Worker } from '../../workers/worker.ts';

interface Parts {
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly registry: Roster;
  /** Those in force. */
  readonly settings: () => Settings;
}

/** What is known of the cache events of a worker. */
export interface WorkerEventsView {
  readonly state: EventsState;
  /** Why there are none; undefined where there are, or the reason is not known yet. */
  readonly reason: string | undefined;
  /** Ages are of now. */
  readonly ranks: readonly RankReport[];
}

/** Shows what becomes of the events of workers: in series, in the log, and to those who ask. */
export class EventWatch {
  readonly #parts: Parts;
  readonly #index: Pick<EventIndex, 'reportOf' | 'report'>;
  readonly #counts: EventMetrics;
  readonly #states: EventStates;

  constructor(parts: Parts, index: Pick<EventIndex, 'reportOf' | 'report'>) {
    this.#parts = parts;
    this.#index = index;
    this.#counts = new EventMetrics(parts.metrics);
    this.#states = new EventStates(parts);
    this.#showState();
  }

  /** @param report undefined: its thread has ended. */
  reported(report: EventsReport | undefined): void {
    const { registry } = this.#parts;
    if (!report) {
      this.#counts.ended();
      return;
    }
    this.#counts.add(report, (reported) => registry.at(reported)?.id);
    for (const reported of report.workers) {
      const worker = registry.at(reported);
      if (worker) this.look(worker);
    }
  }

  /** Tells of it, if there is something new to tell. */
  look(worker: Worker): void {
    const { id, slot, generation, health } = worker;
    const { state, reason } = this.of(worker);
    // Before it is healthy it publishes nothing, and nobody waits for it.
    if (
      state === 'none' ? this.#isExpected(worker) && health.healthy : health.healthy || state !== 'connecting'
    )
      this.#states.seen({ id, slot, generation, state, reason });
  }

  left({ slot }: SlotId): void {
    this.#counts.left(slot);
    this.#states.left(slot);
  }

  of(worker: Worker): WorkerEventsView {
    const { clock, settings } = this.#parts;
    const { kvEvents } = settings();
    if (eventWorkerOf(worker, kvEvents).sources.length === 0)
      return { state: 'none', reason: whyNoSources(worker, kvEvents), ranks: [] };
    const report = this.#index.reportOf(worker);
    if (!report) return { state: 'connecting', reason: undefined, ranks: [] };
    const since = clock.now() - report.heardAt;
    return {
      state: report.state,
      reason: report.ranks.find(({ state }) => state !== 'live')?.reason,
      ranks: report.ranks.map((rank) => ({
        ...rank,
        ageMs: rank.ageMs === undefined ? undefined : rank.ageMs + since,
      })),
    };
  }

  /** Whether somebody has configured that its events are followed. */
  #isExpected({ traits, spec }: Worker): boolean {
    const { kvEvents } = this.#parts.settings();
    if (kvEvents.follows === 'none') return false;
    return (
      kvEvents.follows === 'all' || traits.kvEvents !== undefined || kvEvents.endpoints.has(spec.baseUrl)
    );
  }

  #showState(): void {
    const { metrics, registry } = this.#parts;
    const index = this.#index;
    metrics.kvEventsState.onCollect((family) => {
      for (const worker of registry.fleet) family.with(worker.id).set(STATES.indexOf(this.of(worker).state));
    });
    metrics.kvEventsLastAgeSeconds.onCollect((family) => {
      for (const worker of registry.fleet) {
        const ages = this.of(worker).ranks.flatMap(({ ageMs }) => ageMs ?? []);
        if (ages.length > 0) family.with(worker.id).set(Math.max(...ages) / 1000);
      }
    });
    metrics.kvEventsParkedBytes.onCollect((family) => {
      family.with().set(index.report?.parkedBytes ?? 0);
    });
    metrics.kvIndexEntries.onCollect((family) => {
      family.with().set(index.report?.index.entries ?? 0);
    });
    metrics.kvIndexBytes.onCollect((family) => {
      family.with().set(index.report?.index.bytes ?? 0);
    });
  }
}
