import type { Channel } from '../base/channel.ts';
import type { Clock } from '../base/clock.ts';
import { makeWorker, type PartsMaker } from './make-worker.ts';
import {
  REGISTRY_CHANGES,
  REGISTRY_SNAPSHOT,
  slotIdOf,
  WORKER_NEWS,
  type NumberedChange,
  type RecordChange,
  type RegistrySnapshot,
  type WorkerNews,
  type WorkerRecord,
  type WorkerState,
} from './registry-messages.ts';
import { Roster, type RegistrySettings } from './roster.ts';
import type { Worker } from './worker.ts';

export interface ReplicaDeps extends RegistrySettings {
  readonly channel: Channel;
  readonly clock: Clock;
  readonly parts: PartsMaker & { stop(): void };
  /** The ledger: it is told which worker has which slot. */
  readonly ledger: { adopt(slot: number, generation: number): void; left(slot: number): void };
}

type ChangeOf<Kind extends RecordChange['kind']> = Extract<RecordChange, { readonly kind: Kind }>;

/**
 * What a request thread knows of the registry in control. It can be read and listened to like that, a moment later; nobody
 * writes it but control.
 */
export class RegistryReplica extends Roster {
  readonly #deps: ReplicaDeps;
  /** That of the last change that is in it; undefined before the snapshot. */
  #number: number | undefined;
  /** Came before the snapshot. */
  #early: NumberedChange[] = [];

  constructor(deps: ReplicaDeps) {
    super(deps);
    this.#deps = deps;
    deps.channel.on(REGISTRY_CHANGES, (changes) => {
      for (const change of changes)
        if (this.#number === undefined) this.#early.push(change);
        else this.#apply(change, this.#number);
    });
  }

  /** Resolves when all workers are known that control knows. */
  async start(): Promise<void> {
    this.adopt(await this.#deps.channel.ask(REGISTRY_SNAPSHOT, undefined));
  }

  /** Once, with what `RegistryFeed.snapshot` said after this thread had its channel. Listeners hear of every worker. */
  adopt({ number, workers, announced }: RegistrySnapshot): void {
    if (this.#number !== undefined) throw new Error('the registry has been copied already');
    this.#number = number;
    for (const [model, count] of announced) this.setAnnounced(model, count);
    for (const record of workers) {
      const worker = this.#join(record);
      this.emit({ type: 'joined', worker });
      if (worker.health.healthy) this.emit({ type: 'healthy', worker });
    }
    const early = this.#early;
    this.#early = [];
    for (const change of early) this.#apply(change, this.#number);
  }

  /** This thread ends: it tells control nothing more of workers by itself. */
  stop(): void {
    this.#deps.parts.stop();
  }

  override reportUnreachable(worker: Worker): void {
    if (this.isHere(worker)) this.#post(worker, 'unreachable');
  }

  override reportModelUnknown(worker: Worker): void {
    if (this.isHere(worker)) this.#post(worker, 'model_unknown');
  }

  override reportTransferFailed(worker: Worker): void {
    if (this.isHere(worker)) this.#post(worker, 'transfer_failed');
  }

  #post(worker: Worker, what: WorkerNews['what']): void {
    this.#deps.channel.post(WORKER_NEWS, { at: slotIdOf(worker), what });
  }

  #apply({ number, change }: NumberedChange, last: number): void {
    // The snapshot has it.
    if (number <= last) return;
    if (number !== last + 1) throw new Error(`change ${number} of the registry came after ${last}`);
    this.#number = number;
    if (change.kind === 'joined') this.emit({ type: 'joined', worker: this.#join(change.worker) });
    else if (change.kind === 'announced') this.setAnnounced(change.model, change.count);
    else {
      const worker = this.at(change.at);
      if (worker) this.#change(worker, change);
    }
  }

  #change(worker: Worker, change: Exclude<RecordChange, ChangeOf<'joined' | 'announced'>>): void {
    switch (change.kind) {
      case 'left':
        this.leave(worker);
        this.#deps.ledger.left(worker.slot);
        this.#deps.parts.drop(worker);
        this.emit({ type: 'left', worker });
        return;
      case 'listed':
        if (this.list(worker, new Set(change.models), change.cards)) this.emit({ type: 'models', worker });
        return;
      case 'described':
        worker.spec = change.spec;
        worker.traits = change.traits;
        this.emit({ type: 'traits', worker });
        return;
      case 'state':
        adoptState(worker, change.state);
        if (change.event === undefined) this.changed();
        else this.emit({ type: change.event, worker });
        return;
      case 'facts':
        Object.assign(worker, change.facts);
        this.emit({ type: 'facts', worker });
        return;
      case 'breaker':
        this.emit({ type: 'breaker', worker, from: change.from, to: change.to });
    }
  }

  #join({ at, spec, traits, models, cards, state, facts }: WorkerRecord): Worker {
    const { clock, parts, ledger } = this.#deps;
    ledger.adopt(at.slot, at.generation);
    const worker = makeWorker(spec, at, {
      // Control tells of transitions, in order with all else.
      parts: parts.make({ at, clock, settings: this.settings.breaker, onTransition: () => undefined }),
      now: state.health.changedAt,
      onDraining: () => {
        this.changed();
      },
    });
    worker.traits = traits;
    adoptState(worker, state);
    Object.assign(worker, facts);
    this.enter(worker);
    this.list(worker, new Set(models), cards);
    return worker;
  }
}

function adoptState(
  worker: Worker,
  { health, engine, progress, draining, rampStartedAt }: WorkerState,
): void {
  Object.assign(worker.health, health);
  worker.engine = engine;
  worker.progress.state = progress;
  if (worker.draining !== draining) worker.draining = draining;
  worker.rampStartedAt = rampStartedAt;
}
