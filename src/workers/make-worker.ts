import type { Clock } from '../base/clock.ts';
import type { BreakerSettings, WorkerSpec, WorkerTraits } from '../config/settings/settings.ts';
import { Breaker, type BreakerStateName, type Circuit } from './breaker.ts';
import { InFlightList } from './in-flight.ts';
import type { CacheConfig, EventSource } from './cache-config.ts';
import type { SlotId } from './ledger.ts';
import { Progress } from './progress.ts';
import { OwnTally, type Tally } from './shared-slots.ts';
import type { EngineState, Worker, WorkerHealth } from './worker.ts';

/** What is counted and learnt of a worker: made in other ways where several threads send it requests. */
export interface WorkerParts {
  readonly breaker: Circuit;
  readonly progress: Progress;
  readonly inFlight: InFlightList;
  /** Requests that were sent. */
  readonly sent: Tally;
}

export interface PartsAsk {
  readonly at: SlotId;
  readonly settings: BreakerSettings;
  readonly clock: Clock;
  readonly onTransition: (from: BreakerStateName, to: BreakerStateName) => void;
}

/** Who makes them, and is told when a worker is no more. */
export interface PartsMaker {
  make(ask: PartsAsk): WorkerParts;
  drop(at: SlotId): void;
}

/** For a thread that shares with nobody. */
export const ownParts: PartsMaker = {
  make: ({ settings, clock, onTransition }) => ({
    breaker: new Breaker(settings, clock, onTransition),
    progress: new Progress(),
    inFlight: new InFlightList(),
    sent: new OwnTally(),
  }),
  drop: () => undefined,
};

/** A worker of which nothing is known yet. `onDraining` is called whenever `draining` has been set. */
export function makeWorker(
  spec: WorkerSpec,
  at: SlotId,
  about: { readonly parts: WorkerParts; readonly now: number; readonly onDraining: () => void },
): Worker {
  return new KnownWorker(spec, at, about);
}

/** A class, so that all workers have one shape: accessors of an object literal make each of them one of its own. */
class KnownWorker implements Worker {
  readonly slot: number;
  readonly id: string;
  readonly generation: number;
  spec: WorkerSpec;
  traits: WorkerTraits;
  models: ReadonlySet<string> = new Set();
  adapters: ReadonlySet<string> = new Set();
  cacheConfig: CacheConfig | undefined = undefined;
  eventSources: readonly EventSource[] | undefined = undefined;
  readonly health: WorkerHealth;
  readonly breaker: Circuit;
  engine: EngineState = 'running';
  readonly progress: Progress;
  rampStartedAt: number | undefined = undefined;
  readonly inFlight: InFlightList;
  readonly #sent: Tally;
  readonly #onDraining: () => void;
  #draining = false;

  constructor(
    spec: WorkerSpec,
    { slot, generation }: SlotId,
    { parts, now, onDraining }: Parameters<typeof makeWorker>[2],
  ) {
    this.slot = slot;
    this.generation = generation;
    this.id = spec.id;
    this.spec = spec;
    this.traits = spec.traits;
    this.health = {
      healthy: false,
      admitted: false,
      successes: 0,
      failures: 0,
      changedAt: now,
      reason: undefined,
    };
    this.breaker = parts.breaker;
    this.progress = parts.progress;
    this.inFlight = parts.inFlight;
    this.#sent = parts.sent;
    this.#onDraining = onDraining;
  }

  get draining(): boolean {
    return this.#draining;
  }

  set draining(draining: boolean) {
    this.#draining = draining;
    this.#onDraining();
  }

  get processed(): number {
    return this.#sent.own;
  }

  set processed(count: number) {
    this.#sent.own = count;
  }
}
