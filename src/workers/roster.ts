import type { BreakerSettings, HealthSettings } from '../config/settings/settings.ts';
import type { BreakerStateName } from './breaker.ts';
import { adaptersOf } from './cache-config.ts';
import type { SlotId } from './ledger.ts';
import { ModelPools } from './model-pools.ts';
import type { PoolMembers, Stage } from './model-pools.ts';
import type { ProgressState } from './progress.ts';
import type { Worker } from './worker.ts';

export type RegistryEvent =
  /**
   * `waiting`: a worker that was never healthy failed a check, for another reason than the last time. `unreachable`: a
   * request found nothing listening at the worker's address. `models_doubted`: it did not know a model that it lists.
   * `transfer_failed`: KV blocks that it computed for another worker did not come there.
   * `undrained`: its drain was called off. `asleep`, `awake`: its engine was put to sleep or paused, and goes on. `suspect`,
   * `stalled`, `moving`: what its silence makes of it. `facts`: it told something else of its cache.
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
        | 'facts'
        | 'undrained'
        | 'asleep'
        | 'awake'
        | ProgressState
        | 'unreachable'
        | 'models_doubted'
        | 'transfer_failed';
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

/** Who is there and how it is, which workers serve which model: what a request may know of that, and say. */
export abstract class Roster {
  protected settings: RegistrySettings;
  readonly #byId = new Map<string, Worker>();
  readonly #bySlot: (Worker | undefined)[] = [];
  readonly #pools = new ModelPools();
  /** Models of workers that are being registered, with their number. */
  readonly #announced = new Map<string, number>();
  #workers: readonly Worker[] = [];
  #fleet: readonly Worker[] = [];
  #externals: readonly Worker[] = [];
  #listeners: readonly RegistryListener[] = [];
  #version = 0;

  constructor(settings: RegistrySettings) {
    this.settings = settings;
  }

  /** Other thresholds from now on; every worker keeps its health, its counts and the state of its breaker. */
  reconfigure(settings: RegistrySettings): void {
    this.settings = settings;
    for (const { breaker } of this.#workers) breaker.reconfigure(settings.breaker);
  }

  /** How long the load of a new or recovered worker is ramped up, for `viewPool`. */
  get slowStartMs(): number {
    return this.settings.slowStartMs;
  }

  /** In order of joining; replaced, never changed, when a worker joins or leaves. */
  get workers(): readonly Worker[] {
    return this.#workers;
  }

  /** Those of them that are engines of one's own: what is asked, probed, or chosen by itself. */
  get fleet(): readonly Worker[] {
    return this.#fleet;
  }

  /** The others: only a rule leads to them, and nobody asks them anything. */
  get externals(): readonly Worker[] {
    return this.#externals;
  }

  /** Of several of the same name the first. */
  externalNamed(name: string): Worker | undefined {
    return this.#externals.find(({ traits }) => traits.external?.name === name);
  }

  /** Changes with everything about the workers that changes by itself, not with the time. */
  get version(): number {
    return this.#version;
  }

  get(id: string): Worker | undefined {
    return this.#byId.get(id);
  }

  /** Undefined where it has left, whoever has its slot now. */
  at({ slot, generation }: SlotId): Worker | undefined {
    const worker = this.#bySlot[slot];
    return worker?.generation === generation ? worker : undefined;
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
   * listed) or when it is empty. Of these, those that do this stage of a request: all of it may be given to anybody but
   * prefill workers. The same object until its members change.
   */
  membersFor(model: string, stage: Stage = 'whole'): PoolMembers {
    return this.#pools.membersFor(model, stage);
  }

  /** Whether any worker hands KV blocks over or takes them: then a request must not say from where. */
  get handsOver(): boolean {
    return this.#pools.handsOver;
  }

  /** Whether there is a worker that may be given prompts of the model alone, healthy or not. */
  hasPrefill(model: string): boolean {
    return this.#pools.hasPrefill && this.#pools.membersFor(model, 'prefill').members.length > 0;
  }

  /** Whether all workers list the same models: then any of them may serve any request. */
  get servesAlike(): boolean {
    return this.#pools.alike;
  }

  /** A request was refused a connection: have the worker checked at once. */
  abstract reportUnreachable(worker: Worker): void;

  /** A worker did not know a model that it lists: have its list read again. */
  abstract reportModelUnknown(worker: Worker): void;

  /** What it computed for another worker did not come there: have it asked anew what others need to know of it. */
  abstract reportTransferFailed(worker: Worker): void;

  /** Returns what ends the subscription. Listeners are called after the change, in order of subscription. */
  on(listener: RegistryListener): () => void {
    this.#listeners = [...this.#listeners, listener];
    return () => {
      this.#listeners = this.#listeners.filter((other) => other !== listener);
    };
  }

  /** The same, of what happens to engines of one's own. */
  onFleet(listener: RegistryListener): () => void {
    return this.on((event) => {
      if (!isExternal(event.worker)) listener(event);
    });
  }

  protected isHere(worker: Worker): boolean {
    return this.#byId.get(worker.id) === worker;
  }

  protected enter(worker: Worker): void {
    this.#byId.set(worker.id, worker);
    this.#bySlot[worker.slot] = worker;
    this.#setWorkers([...this.#workers, worker]);
  }

  protected leave(worker: Worker): void {
    this.#byId.delete(worker.id);
    this.#bySlot[worker.slot] = undefined;
    if (!isExternal(worker)) this.#pools.forget(worker);
    this.#setWorkers(this.#workers.filter((other) => other !== worker));
  }

  #setWorkers(workers: readonly Worker[]): void {
    this.#workers = workers;
    this.#externals = workers.filter(isExternal);
    this.#fleet = this.#externals.length === 0 ? workers : workers.filter((worker) => !isExternal(worker));
    this.#pools.changed(this.#fleet);
  }

  /** Whether its models are others than before. */
  protected list(worker: Worker, models: ReadonlySet<string>, cards: readonly unknown[]): boolean {
    // What a provider has is no model of the fleet: nobody is to come there by a name alone.
    if (isExternal(worker)) {
      const isOther = !sameNames(worker.models, models);
      worker.models = models;
      return isOther;
    }
    this.#pools.setCards(worker, cards);
    worker.adapters = adaptersOf(cards);
    if (sameNames(worker.models, models)) return false;
    this.#pools.relist(worker.models, models);
    worker.models = models;
    this.#pools.changed(this.#fleet);
    return true;
  }

  protected cardsOf(worker: Worker): readonly unknown[] {
    return this.#pools.cardsOf(worker);
  }

  /** How many workers for each model are on their way. */
  protected get announced(): ReadonlyMap<string, number> {
    return this.#announced;
  }

  protected setAnnounced(model: string, count: number): void {
    if (count > 0) this.#announced.set(model, count);
    else this.#announced.delete(model);
  }

  /** Something has changed that nobody need be told of. */
  protected changed(): void {
    this.#version += 1;
  }

  protected emit(event: RegistryEvent): void {
    this.#version += 1;
    for (const listener of this.#listeners) listener(event);
  }
}

function sameNames(left: ReadonlySet<string>, right: ReadonlySet<string>): boolean {
  return left.size === right.size && [...left].every((name) => right.has(name));
}

function isExternal({ traits }: Worker): boolean {
  return traits.role === 'external';
}
