import type { Clock } from '../base/clock.ts';
import type { BreakerSettings, HealthSettings, WorkerSpec } from '../config/settings.ts';
import { Breaker } from './breaker.ts';
import type { BreakerStateName } from './breaker.ts';
import { InFlightList } from './in-flight.ts';
import type { LoadLedger } from './ledger.ts';
import { ModelPools } from './model-pools.ts';
import type { PoolMembers } from './model-pools.ts';
import type { Worker } from './worker.ts';

export type RegistryEvent =
  /**
   * `waiting`: a worker that was never healthy failed a check, for another reason than the last time. `unreachable`: a
   * request found nothing listening at the worker's address.
   */
  | {
      readonly type: 'joined' | 'left' | 'waiting' | 'healthy' | 'unhealthy' | 'models' | 'unreachable';
      readonly worker: Worker;
    }
  | {
      readonly type: 'breaker';
      readonly worker: Worker;
      readonly from: BreakerStateName;
      readonly to: BreakerStateName;
    };

export type RegistryListener = (event: RegistryEvent) => void;

export interface RegistryDeps {
  readonly clock: Clock;
  readonly ledger: LoadLedger;
  readonly breaker: BreakerSettings;
  readonly health: HealthSettings;
  readonly slowStartMs: number;
}

/** Who is there, and which workers serve which model. */
export class WorkerRegistry {
  /** How long the load of a new or recovered worker is ramped up, for `viewPool`. */
  readonly slowStartMs: number;
  readonly #deps: RegistryDeps;
  readonly #byId = new Map<string, Worker>();
  readonly #pools = new ModelPools();
  #workers: readonly Worker[] = [];
  #listeners: readonly RegistryListener[] = [];

  constructor(deps: RegistryDeps) {
    this.#deps = deps;
    this.slowStartMs = deps.slowStartMs;
  }

  /** In order of joining; replaced, never changed, when a worker joins or leaves. */
  get workers(): readonly Worker[] {
    return this.#workers;
  }

  get(id: string): Worker | undefined {
    return this.#byId.get(id);
  }

  /** The new worker is not healthy before its first successful check. Throws when the id is taken. */
  add(spec: WorkerSpec): Worker {
    if (this.#byId.has(spec.id)) throw new Error(`Worker ${spec.id} is registered already`);
    const worker = this.#create(spec);
    this.#byId.set(spec.id, worker);
    this.#workers = [...this.#workers, worker];
    this.#pools.changed(this.#workers);
    this.#emit({ type: 'joined', worker });
    return worker;
  }

  /** Leaves every pool at once. Does nothing for a worker that has left. */
  remove(worker: Worker): void {
    if (this.#byId.get(worker.id) !== worker) return;
    this.#byId.delete(worker.id);
    this.#workers = this.#workers.filter((other) => other !== worker);
    this.#pools.forget(worker);
    this.#pools.changed(this.#workers);
    this.#deps.ledger.free(worker.slot);
    this.#emit({ type: 'left', worker });
  }

  /** `cards` are the entries of the worker's `/v1/models` as they came, for the union over workers. */
  setModels(worker: Worker, models: ReadonlySet<string>, cards: readonly unknown[]): void {
    if (this.#byId.get(worker.id) !== worker) return;
    this.#pools.setCards(worker, cards);
    if (sameNames(worker.models, models)) return;
    this.#pools.relist(worker.models, models);
    worker.models = models;
    this.#pools.changed(this.#workers);
    this.#emit({ type: 'models', worker });
  }

  /** Model cards of all workers; of several with one id the first. */
  modelCards(): readonly unknown[] {
    return this.#pools.cards();
  }

  /**
   * Candidates for a model: the workers that list it; all, when none does (a name may be served without being
   * listed) or when it is empty. The same object until its members change.
   */
  membersFor(model: string): PoolMembers {
    return this.#pools.membersFor(model);
  }

  /** Whether all workers list the same models: then any of them may serve any request. */
  get servesAlike(): boolean {
    return this.#pools.alike;
  }

  /** The outcome of one health check. `reason` says why it failed. */
  reportCheck(worker: Worker, ok: boolean, reason?: string): void {
    if (this.#byId.get(worker.id) !== worker) return;
    const { health } = worker;
    health.successes = ok ? health.successes + 1 : 0;
    health.failures = ok ? 0 : health.failures + 1;
    const reasonBefore = health.reason;
    health.reason = ok ? undefined : (reason ?? 'failed');
    if (!ok && !health.admitted && health.reason !== reasonBefore) this.#emit({ type: 'waiting', worker });
    if (ok && !health.healthy) {
      const needed = health.admitted ? this.#deps.health.successThreshold : 1;
      if (health.successes >= needed) this.#setHealthy(worker, true);
    } else if (!ok && health.healthy && health.failures >= this.#deps.health.failureThreshold) {
      this.#setHealthy(worker, false);
    }
  }

  /** A request was refused a connection: have the worker checked at once. */
  reportUnreachable(worker: Worker): void {
    if (this.#byId.get(worker.id) === worker) this.#emit({ type: 'unreachable', worker });
  }

  /** Returns what ends the subscription. Listeners are called after the change, in order of subscription. */
  on(listener: RegistryListener): () => void {
    this.#listeners = [...this.#listeners, listener];
    return () => {
      this.#listeners = this.#listeners.filter((other) => other !== listener);
    };
  }

  #create(spec: WorkerSpec): Worker {
    const { clock, ledger, breaker } = this.#deps;
    const { slot, generation } = ledger.allocate();
    const worker: Worker = {
      slot,
      id: spec.id,
      generation,
      spec,
      models: new Set(),
      health: {
        healthy: false,
        admitted: false,
        successes: 0,
        failures: 0,
        changedAt: clock.now(),
        reason: undefined,
      },
      breaker: new Breaker(breaker, clock, (from, to) => {
        this.#emit({ type: 'breaker', worker, from, to });
      }),
      draining: false,
      rampStartedAt: undefined,
      processed: 0,
      inFlight: new InFlightList(),
    };
    return worker;
  }

  #setHealthy(worker: Worker, healthy: boolean): void {
    const now = this.#deps.clock.now();
    worker.health.healthy = healthy;
    worker.health.changedAt = now;
    if (healthy) {
      worker.health.admitted = true;
      worker.rampStartedAt = now;
    }
    this.#emit({ type: healthy ? 'healthy' : 'unhealthy', worker });
  }

  #emit(event: RegistryEvent): void {
    for (const listener of this.#listeners) listener(event);
  }
}

function sameNames(left: ReadonlySet<string>, right: ReadonlySet<string>): boolean {
  return left.size === right.size && [...left].every((name) => right.has(name));
}
