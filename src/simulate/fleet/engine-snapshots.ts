import type { Clock } from '../../base/clock.ts';
import type { WorkerModel } from '../../sim/engine/worker-model.ts';
import type { EngineEvents } from './engine-events.ts';
import type { EngineStatsView } from './fleet-view.ts';

/** The engines of a simulated fleet, by worker id. */
export interface EngineAccess {
  modelOf(id: string): WorkerModel | undefined;
  /** What it tells of its caches; undefined where it tells nothing. */
  eventsOf(id: string): EngineEvents | undefined;
  /** While requests are under way; afterwards nobody reads snapshots any more. */
  busy(): boolean;
}

interface Snapshot {
  readonly running: number;
  readonly waiting: number;
  readonly kvUsage: number;
}

const NOTHING: Snapshot = { running: 0, waiting: 0, kvUsage: 0 };

/** What each engine says of itself, looked at in fixed intervals. */
export class EngineSnapshots implements EngineStatsView {
  readonly #engines: EngineAccess;
  #bySlot: readonly Snapshot[] = [];

  /** `ids`: of present workers by slot, kept up to date by its owner. */
  constructor(ids: readonly (string | undefined)[], engines: EngineAccess, clock: Clock, intervalMs: number) {
    this.#engines = engines;
    const timer = clock.after(intervalMs, () => {
      this.#bySlot = ids.map((id) => this.#look(id));
      if (engines.busy()) timer.refresh();
    });
  }

  running(slot: number): number {
    return this.#of(slot).running;
  }

  waiting(slot: number): number {
    return this.#of(slot).waiting;
  }

  kvUsage(slot: number): number {
    return this.#of(slot).kvUsage;
  }

  #of(slot: number): Snapshot {
    return this.#bySlot[slot] ?? NOTHING;
  }

  #look(id: string | undefined): Snapshot {
    const model = id === undefined ? undefined : this.#engines.modelOf(id);
    return model ? { running: model.running, waiting: model.waiting, kvUsage: model.kvUsage } : NOTHING;
  }
}
