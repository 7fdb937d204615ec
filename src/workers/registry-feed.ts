import type { Channels } from '../base/channel.ts';
import type { RegistryChange, WorkerRegistry } from './registry.ts';
import {
  REGISTRY_CHANGES,
  REGISTRY_SNAPSHOT,
  factsOfWorker,
  slotIdOf,
  stateOfWorker,
  WORKER_NEWS,
  type NumberedChange,
  type RecordChange,
  type RegistrySnapshot,
  type WorkerModels,
  type WorkerRecord,
} from './registry-messages.ts';
import type { RegistryEvent } from './roster.ts';
import type { Worker } from './worker.ts';

/**
 * Tells request threads what is in the registry: each change in order, and all of it to a thread that begins. What requests
 * find out about workers comes back to the registry.
 */
export class RegistryFeed {
  readonly #registry: WorkerRegistry;
  readonly #channels: Channels;
  #number = 0;
  /** Changes of this turn. */
  #untold: NumberedChange[] = [];

  constructor(registry: WorkerRegistry, channels: Channels) {
    this.#registry = registry;
    this.#channels = channels;
    registry.follow((change) => {
      this.#tell(change);
    });
    channels.beforePost(() => {
      this.#tellAll();
    });
    channels.answer(REGISTRY_SNAPSHOT, () => this.snapshot());
    channels.on(WORKER_NEWS, (_, { at, what }) => {
      const worker = registry.at(at);
      if (!worker) return;
      if (what === 'unreachable') registry.reportUnreachable(worker);
      else if (what === 'model_unknown') registry.reportModelUnknown(worker);
      else registry.reportTransferFailed(worker);
    });
  }

  /** For a thread that has its channel already: it then misses no change, and knows those that are in here by their number. */
  snapshot(): RegistrySnapshot {
    const { workers, announced } = this.#registry.contents;
    return {
      number: this.#number,
      workers: workers.map((worker) => this.#record(worker)),
      announced: [...announced],
    };
  }

  #tell(change: RegistryChange): void {
    const told = this.#toTell(change);
    if (!told) return;
    this.#number += 1;
    if (this.#untold.length === 0) queueMicrotask(() => this.#tellAll());
    this.#untold.push({ number: this.#number, change: told });
  }

  #tellAll(): void {
    const changes = this.#untold;
    if (changes.length === 0) return;
    this.#untold = [];
    this.#channels.broadcast(REGISTRY_CHANGES, changes);
  }

  #toTell(change: RegistryChange): RecordChange | undefined {
    switch (change.kind) {
      case 'announced':
        return change;
      case 'event':
        return this.#eventToTell(change.event);
      case 'cards':
        return { kind: 'listed', at: slotIdOf(change.worker), ...this.#modelsOf(change.worker) };
      case 'state':
        return this.#stateToTell(change.worker, undefined);
    }
  }

  #eventToTell(event: RegistryEvent): RecordChange | undefined {
    const { worker } = event;
    const at = slotIdOf(worker);
    switch (event.type) {
      case 'joined':
        return { kind: 'joined', worker: this.#record(worker) };
      case 'left':
        return { kind: 'left', at };
      case 'models':
        return { kind: 'listed', at, ...this.#modelsOf(worker) };
      case 'traits':
        return { kind: 'described', at, spec: worker.spec, traits: worker.traits };
      case 'facts':
        return { kind: 'facts', at, facts: factsOfWorker(worker) };
      case 'breaker':
        return { kind: 'breaker', at, from: event.from, to: event.to };
      case 'unreachable':
      case 'models_doubted':
      case 'transfer_failed':
        // For who checks workers, and that is not done in request threads.
        return undefined;
      default:
        return this.#stateToTell(worker, event.type);
    }
  }

  #stateToTell(
    worker: Worker,
    event: Extract<RecordChange, { readonly kind: 'state' }>['event'],
  ): RecordChange {
    return { kind: 'state', at: slotIdOf(worker), state: stateOfWorker(worker), event };
  }

  #record(worker: Worker): WorkerRecord {
    const { spec, traits } = worker;
    return {
      ...{ at: slotIdOf(worker), spec, traits },
      state: stateOfWorker(worker),
      facts: factsOfWorker(worker),
      ...this.#modelsOf(worker),
    };
  }

  #modelsOf(worker: Worker): WorkerModels {
    return { models: [...worker.models], cards: this.#registry.contents.cardsOf(worker) };
  }
}
