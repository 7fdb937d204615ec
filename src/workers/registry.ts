import type { Clock } from '../base/clock.ts';
import type { WorkerSpec, WorkerTraits } from '../config/settings/settings.ts';
import { sameConfig, sameSources, type CacheConfig, type EventSource } from './cache-config.ts';
import { withLearnt } from './kv-transfer.ts';
import type { LoadLedger } from './ledger.ts';
import { makeWorker, ownParts, type PartsMaker } from './make-worker.ts';
import type { ProgressState } from './progress.ts';
import { Roster, type RegistryEvent, type RegistrySettings } from './roster.ts';
import type { EngineState, Worker } from './worker.ts';

export type { RegistryEvent, RegistryListener, RegistrySettings } from './roster.ts';

export interface RegistryDeps extends RegistrySettings {
  readonly clock: Clock;
  readonly ledger: LoadLedger;
  readonly parts?: PartsMaker;
}

/**
 * What a copy of the registry has to be told, before any listener acts on it. `state`: something about the worker that makes no
 * event; `cards`: only the cards of its models are others.
 */
export type RegistryChange =
  | { readonly kind: 'event'; readonly event: RegistryEvent }
  | { readonly kind: 'state' | 'cards'; readonly worker: Worker }
  | { readonly kind: 'announced'; readonly model: string; readonly count: number };

export interface RegistryContents {
  readonly workers: readonly Worker[];
  /** How many workers for each model are on their way. */
  readonly announced: ReadonlyMap<string, number>;
  /** The cards of its models. */
  cardsOf(worker: Worker): readonly unknown[];
}

/** The original: what control finds out about workers is written here. */
export class WorkerRegistry extends Roster {
  readonly #deps: RegistryDeps;
  readonly #parts: PartsMaker;
  #follower: (change: RegistryChange) => void = () => undefined;

  constructor(deps: RegistryDeps) {
    super(deps);
    this.#deps = deps;
    this.#parts = deps.parts ?? ownParts;
  }

  /** For who keeps a copy: one, told of every change in order. */
  follow(follower: (change: RegistryChange) => void): void {
    this.#follower = follower;
  }

  /** All that a copy has to know, as of now. */
  get contents(): RegistryContents {
    return { workers: this.workers, announced: this.announced, cardsOf: (worker) => this.cardsOf(worker) };
  }

  /**
   * The new worker is not healthy before its first successful check; until it tells its models it counts as listing the
   * one it was registered for. Throws when the id is taken.
   */
  add(spec: WorkerSpec): Worker {
    if (this.get(spec.id)) throw new Error(`Worker ${spec.id} is registered already`);
    const worker = this.#create(spec);
    this.enter(worker);
    const { modelId, external } = spec.traits;
    if (modelId !== undefined) this.list(worker, new Set([modelId]), [claimedCard(modelId)]);
    if (external?.models) this.list(worker, new Set(Object.keys(external.models)), []);
    this.emit({ type: 'joined', worker });
    // It is asked nothing: what its answers say is all that there is to know.
    if (external) this.reportCheck(worker, true);
    return worker;
  }

  /** Leaves every pool at once. Does nothing for a worker that has left. */
  remove(worker: Worker): void {
    if (!this.isHere(worker)) return;
    this.leave(worker);
    this.#deps.ledger.free(worker.slot);
    this.#parts.drop(worker);
    this.emit({ type: 'left', worker });
  }

  /** `cards` are the entries of the worker's `/v1/models` as they came, for the union over workers. */
  setModels(worker: Worker, models: ReadonlySet<string>, cards: readonly unknown[]): void {
    if (!this.isHere(worker)) return;
    if (this.list(worker, models, cards)) this.emit({ type: 'models', worker });
    else this.#follower({ kind: 'cards', worker });
  }

  /** What its metrics say of its cache. */
  setCacheConfig(worker: Worker, config: CacheConfig): void {
    if (!this.isHere(worker) || sameConfig(worker.cacheConfig, config)) return;
    worker.cacheConfig = config;
    this.emit({ type: 'facts', worker });
  }

  /** Where it publishes events of its cache; undefined: it no longer says so. */
  setEventSources(worker: Worker, sources: readonly EventSource[] | undefined): void {
    if (!this.isHere(worker) || sameSources(worker.eventSources, sources)) return;
    worker.eventSources = sources;
    this.emit({ type: 'facts', worker });
  }

  /** Something else is to be said of the worker from now on. */
  setTraits(worker: Worker, traits: WorkerTraits): void {
    if (!this.isHere(worker)) return;
    worker.traits = traits;
    this.emit({ type: 'traits', worker });
  }

  /**
   * The configuration says something else about the worker: its key, its traits. It stays in its place, with its load,
   * health and circuit. Throws when the spec is that of another worker.
   */
  respec(worker: Worker, spec: WorkerSpec): void {
    if (spec.id !== worker.id) throw new Error(`${spec.id} is not ${worker.id}`);
    const before = worker.spec.traits.modelId;
    const { modelId } = spec.traits;
    const traits = withLearnt(spec.traits, worker.spec, worker.traits);
    worker.spec = spec;
    this.setTraits(worker, traits);
    // An engine that does not list its models goes by what it was registered for.
    const { external } = spec.traits;
    if (external && !external.fetchesModels)
      this.setModels(worker, new Set(Object.keys(external.models ?? {})), []);
    const claims = before !== undefined && worker.models.size === 1 && worker.models.has(before);
    if (claims && modelId !== undefined && modelId !== before)
      this.setModels(worker, new Set([modelId]), [claimedCard(modelId)]);
  }

  /** A worker for this model is on its way; to be taken back, once, by what is returned. */
  announce(model: string): () => void {
    this.#announceMore(model, 1);
    let over = false;
    return () => {
      if (over) return;
      over = true;
      this.#announceMore(model, -1);
    };
  }

  /** The outcome of one health check. `reason` says why it failed. */
  reportCheck(worker: Worker, ok: boolean, reason?: string): void {
    if (!this.isHere(worker)) return;
    const { health } = worker;
    health.successes = ok ? health.successes + 1 : 0;
    health.failures = ok ? 0 : health.failures + 1;
    const reasonBefore = health.reason;
    health.reason = ok ? undefined : (reason ?? 'failed');
    if (health.reason !== reasonBefore) {
      if (!ok && !health.admitted) this.emit({ type: 'waiting', worker });
      else this.#follower({ kind: 'state', worker });
    }
    if (ok && !health.healthy) {
      const needed = health.admitted ? this.settings.health.successThreshold : 1;
      if (health.successes >= needed) this.#setHealthy(worker, true);
    } else if (!ok && health.healthy && health.failures >= this.settings.health.failureThreshold) {
      this.#setHealthy(worker, false);
    }
  }

  /** What the engine says of itself. */
  setEngine(worker: Worker, engine: EngineState): void {
    if (!this.isHere(worker) || worker.engine === engine) return;
    worker.engine = engine;
    this.emit({ type: engine === 'running' ? 'awake' : 'asleep', worker });
  }

  /** What its silence makes of it. */
  setProgress(worker: Worker, state: ProgressState): void {
    const before = worker.progress.state;
    if (!this.isHere(worker) || before === state) return;
    worker.progress.state = state;
    // It has nothing to do by now, so that everybody would go there at once.
    if (before === 'stalled') worker.rampStartedAt = this.#deps.clock.now();
    this.emit({ type: state, worker });
  }

  /** A worker that was being drained takes requests again. */
  reportUndrained(worker: Worker): void {
    if (this.isHere(worker)) this.emit({ type: 'undrained', worker });
  }

  override reportUnreachable(worker: Worker): void {
    if (this.isHere(worker)) this.emit({ type: 'unreachable', worker });
  }

  override reportModelUnknown(worker: Worker): void {
    if (this.isHere(worker)) this.emit({ type: 'models_doubted', worker });
  }

  override reportTransferFailed(worker: Worker): void {
    if (this.isHere(worker)) this.emit({ type: 'transfer_failed', worker });
  }

  #create(spec: WorkerSpec): Worker {
    const { clock, ledger } = this.#deps;
    const at = ledger.allocate();
    const worker: Worker = makeWorker(spec, at, {
      parts: this.#parts.make({
        ...{ at, clock, settings: this.settings.breaker },
        onTransition: (from, to) => {
          this.emit({ type: 'breaker', worker, from, to });
        },
      }),
      now: clock.now(),
      onDraining: () => {
        this.#changedQuietly(worker);
      },
    });
    return worker;
  }

  #setHealthy(worker: Worker, healthy: boolean): void {
    const now = this.#deps.clock.now();
    worker.health.healthy = healthy;
    worker.health.changedAt = now;
    if (healthy) {
      worker.health.admitted = true;
      if (worker.traits.role !== 'external') worker.rampStartedAt = now;
    }
    this.emit({ type: healthy ? 'healthy' : 'unhealthy', worker });
  }

  #announceMore(model: string, more: number): void {
    const count = (this.announced.get(model) ?? 0) + more;
    this.setAnnounced(model, count);
    this.#follower({ kind: 'announced', model, count });
  }

  #changedQuietly(worker: Worker): void {
    this.changed();
    if (this.isHere(worker)) this.#follower({ kind: 'state', worker });
  }

  protected override emit(event: RegistryEvent): void {
    this.#follower({ kind: 'event', event });
    super.emit(event);
  }
}

/** A model card as vLLM writes them, for an engine that has not told its own. */
function claimedCard(id: string): Readonly<Record<string, unknown>> {
  return { id, object: 'model', owned_by: 'vllm', root: id, parent: null };
}
