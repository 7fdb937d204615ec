import type { Clock } from '../base/clock.ts';
import type {
  BreakerSettings,
  HealthSettings,
  WorkerSpec,
  WorkerTraits,
} from '../config/settings/settings.ts';
import { Breaker } from './breaker.ts';
import type { BreakerStateName } from './breaker.ts';
import { InFlightList } from './in-flight.ts';
import type { LoadLedger } from './ledger.ts';
import { ModelPools } from './model-pools.ts';
import type { PoolMembers } from './model-pools.ts';
import { Progress, type ProgressState } from './progress.ts';
import type { EngineState, Worker } from './worker.ts';

export type RegistryEvent =
  /**
   * `waiting`: a worker that was never healthy failed a check, for another reason than the last time. `unreachable`: a
   * request found nothing listening at the worker's address. `models_doubted`: it did not know a model that it lists.
   * `undrained`: its drain was called off. `asleep`, `awake`: its engine was put to sleep or paused, and goes on. `suspect`,
   * `stalled`, `moving`: what its silence makes of it.
   */
  | {
      readonly type:
        | 'joined'
        | 'left'
        | 'waiting'
        | 'healthy'
        | 'unhealthy'
        | 'models'
        | 'traits'
        | 'undrained'
        | 'asleep'
        | 'awake'
        | ProgressState
        | 'unreachable'
        | 'models_doubted';
      readonly worker: Worker;
    }
  | {
      readonly type: 'breaker';
      readonly worker: Worker;
      readonly from: BreakerStateName;
      readonly to: BreakerStateName;
    };

export type RegistryListener = (event: RegistryEvent) => void;

/** When a worker counts as healthy and when its circuit opens. */
export interface RegistrySettings {
  readonly breaker: BreakerSettings;
  readonly health: HealthSettings;
  readonly slowStartMs: number;
}

export interface RegistryDeps extends RegistrySettings {
  readonly clock: Clock;
  readonly ledger: LoadLedger;
}

/** Who is there, and which workers serve which model. */
export class WorkerRegistry {
  readonly #deps: RegistryDeps;
  #settings: RegistrySettings;
  readonly #byId = new Map<string, Worker>();
  readonly #pools = new ModelPools();
  /** Models of workers that are being registered, with their number. */
  readonly #announced = new Map<string, number>();
  #workers: readonly Worker[] = [];
  #listeners: readonly RegistryListener[] = [];
  #version = 0;

  constructor(deps: RegistryDeps) {
    this.#deps = deps;
    this.#settings = deps;
  }

  /** Other thresholds from now on; every worker keeps its health, its counts and the state of its breaker. */
  reconfigure(settings: RegistrySettings): void {
    this.#settings = settings;
    for (const { breaker } of this.#workers) breaker.reconfigure(settings.breaker);
  }

  /** How long the load of a new or recovered worker is ramped up, for `viewPool`. */
  get slowStartMs(): number {
    return this.#settings.slowStartMs;
  }

  /** In order of joining; replaced, never changed, when a worker joins or leaves. */
  get workers(): readonly Worker[] {
    return this.#workers;
  }

  /** Changes with everything about the workers that changes by itself, not with the time. */
  get version(): number {
    return this.#version;
  }

  get(id: string): Worker | undefined {
    return this.#byId.get(id);
  }

  /**
   * The new worker is not healthy before its first successful check; until it tells its models it counts as listing the
   * one it was registered for. Throws when the id is taken.
   */
  add(spec: WorkerSpec): Worker {
    if (this.#byId.has(spec.id)) throw new Error(`Worker ${spec.id} is registered already`);
    const worker = this.#create(spec);
    this.#byId.set(spec.id, worker);
    this.#workers = [...this.#workers, worker];
    const { modelId } = spec.traits;
    if (modelId !== undefined) {
      worker.models = new Set([modelId]);
      this.#pools.relist(NO_MODELS, worker.models);
      this.#pools.setCards(worker, [claimedCard(modelId)]);
    }
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

  /** Something else is to be said of the worker from now on. */
  setTraits(worker: Worker, traits: WorkerTraits): void {
    if (this.#byId.get(worker.id) !== worker) return;
    worker.traits = traits;
    this.#emit({ type: 'traits', worker });
  }

  /**
   * The configuration says something else about the worker: its key, its traits. It stays in its place, with its load,
   * health and circuit. Throws when the spec is that of another worker.
   */
  respec(worker: Worker, spec: WorkerSpec): void {
    if (spec.id !== worker.id) throw new Error(`${spec.id} is not ${worker.id}`);
    const before = worker.spec.traits.modelId;
    const { modelId } = spec.traits;
    worker.spec = spec;
    this.setTraits(worker, spec.traits);
    // An engine that does not list its models goes by what it was registered for.
    const claims = before !== undefined && worker.models.size === 1 && worker.models.has(before);
    if (claims && modelId !== undefined && modelId !== before)
      this.setModels(worker, new Set([modelId]), [claimedCard(modelId)]);
  }

  /** A worker for this model is on its way; to be taken back, once, by what is returned. */
  announce(model: string): () => void {
    this.#announced.set(model, (this.#announced.get(model) ?? 0) + 1);
    let over = false;
    return () => {
      if (over) return;
      over = true;
      const left = (this.#announced.get(model) ?? 0) - 1;
      if (left > 0) this.#announced.set(model, left);
      else this.#announced.delete(model);
    };
  }

  /** Whether a worker lists the model, healthy or not, or one that will is on its way. */
  knows(model: string): boolean {
    return this.#pools.lists(model) || this.#announced.has(model);
  }

  /** Names of the models that workers list. */
  get models(): ReadonlySet<string> {
    return this.#pools.models;
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
      const needed = health.admitted ? this.#settings.health.successThreshold : 1;
      if (health.successes >= needed) this.#setHealthy(worker, true);
    } else if (!ok && health.healthy && health.failures >= this.#settings.health.failureThreshold) {
      this.#setHealthy(worker, false);
    }
  }

  /** What the engine says of itself. */
  setEngine(worker: Worker, engine: EngineState): void {
    if (this.#byId.get(worker.id) !== worker || worker.engine === engine) return;
    worker.engine = engine;
    this.#emit({ type: engine === 'running' ? 'awake' : 'asleep', worker });
  }

  /** What its silence makes of it. */
  setProgress(worker: Worker, state: ProgressState): void {
    const before = worker.progress.state;
    if (this.#byId.get(worker.id) !== worker || before === state) return;
    worker.progress.state = state;
    // It has nothing to do by now, so that everybody would go there at once.
    if (before === 'stalled') worker.rampStartedAt = this.#deps.clock.now();
    this.#emit({ type: state, worker });
  }

  /** A worker that was being drained takes requests again. */
  reportUndrained(worker: Worker): void {
    if (this.#byId.get(worker.id) === worker) this.#emit({ type: 'undrained', worker });
  }

  /** A request was refused a connection: have the worker checked at once. */
  reportUnreachable(worker: Worker): void {
    if (this.#byId.get(worker.id) === worker) this.#emit({ type: 'unreachable', worker });
  }

  /** A worker did not know a model that it lists: have its list read again. */
  reportModelUnknown(worker: Worker): void {
    if (this.#byId.get(worker.id) === worker) this.#emit({ type: 'models_doubted', worker });
  }

  /** Returns what ends the subscription. Listeners are called after the change, in order of subscription. */
  on(listener: RegistryListener): () => void {
    this.#listeners = [...this.#listeners, listener];
    return () => {
      this.#listeners = this.#listeners.filter((other) => other !== listener);
    };
  }

  #create(spec: WorkerSpec): Worker {
    const { clock, ledger } = this.#deps;
    const { slot, generation } = ledger.allocate();
    let draining = false;
    const changed = (): void => {
      this.#version += 1;
    };
    const worker: Worker = {
      slot,
      id: spec.id,
      generation,
      spec,
      traits: spec.traits,
      models: new Set(),
      health: {
        healthy: false,
        admitted: false,
        successes: 0,
        failures: 0,
        changedAt: clock.now(),
        reason: undefined,
      },
      breaker: new Breaker(this.#settings.breaker, clock, (from, to) => {
        this.#emit({ type: 'breaker', worker, from, to });
      }),
      engine: 'running',
      progress: new Progress(),
      get draining() {
        return draining;
      },
      set draining(value) {
        draining = value;
        changed();
      },
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
    this.#version += 1;
    for (const listener of this.#listeners) listener(event);
  }
}

const NO_MODELS: ReadonlySet<string> = new Set();

/** A model card as vLLM writes them, for an engine that has not told its own. */
function claimedCard(id: string): Readonly<Record<string, unknown>> {
  return { id, object: 'model', owned_by: 'vllm', root: id, parent: null };
}

function sameNames(left: ReadonlySet<string>, right: ReadonlySet<string>): boolean {
  return left.size === right.size && [...left].every((name) => right.has(name));
}
