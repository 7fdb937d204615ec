import type { MessageKind, QuestionKind } from '../base/channel.ts';
import type { WorkerSpec, WorkerTraits } from '../config/settings/settings.ts';
import type { BreakerStateName } from './breaker.ts';
import type { CacheFacts } from './cache-config.ts';
import type { SlotId } from './ledger.ts';
import type { ProgressState } from './progress.ts';
import type { RegistryEvent } from './roster.ts';
import type { EngineState, Worker, WorkerHealth } from './worker.ts';

/** What changes often about a worker, and is small. */
export interface WorkerState {
  readonly health: Omit<WorkerHealth, 'successes' | 'failures'>;
  readonly engine: EngineState;
  readonly progress: ProgressState;
  readonly draining: boolean;
  readonly rampStartedAt: number | undefined;
}

export interface WorkerModels {
  readonly models: readonly string[];
  readonly cards: readonly unknown[];
}

/** All that a copy holds of a worker. */
export interface WorkerRecord extends WorkerModels {
  readonly at: SlotId;
  readonly spec: WorkerSpec;
  readonly traits: WorkerTraits;
  readonly state: WorkerState;
  readonly facts: CacheFacts;
}

/** Events that say no more than that the state of the worker is another one. */
export type StateEvent = Exclude<
  RegistryEvent['type'],
  | 'joined'
  | 'left'
  | 'models'
  | 'traits'
  | 'facts'
  | 'breaker'
  | 'unreachable'
  | 'models_doubted'
  | 'transfer_failed'
>;

/** One change of the registry. Where `event` is missing, the change makes none. */
export type RecordChange =
  | { readonly kind: 'joined'; readonly worker: WorkerRecord }
  | { readonly kind: 'left'; readonly at: SlotId }
  | ({ readonly kind: 'listed'; readonly at: SlotId } & WorkerModels)
  | {
      readonly kind: 'described';
      readonly at: SlotId;
      readonly spec: WorkerSpec;
      readonly traits: WorkerTraits;
    }
  | { readonly kind: 'facts'; readonly at: SlotId; readonly facts: CacheFacts }
  | {
      readonly kind: 'state';
      readonly at: SlotId;
      readonly state: WorkerState;
      readonly event: StateEvent | undefined;
    }
  | {
      readonly kind: 'breaker';
      readonly at: SlotId;
      readonly from: BreakerStateName;
      readonly to: BreakerStateName;
    }
  | { readonly kind: 'announced'; readonly model: string; readonly count: number };

/** `number`: changes are counted from 1. */
export interface NumberedChange {
  readonly number: number;
  readonly change: RecordChange;
}

export interface RegistrySnapshot {
  /** That of the last change that is in it. */
  readonly number: number;
  /** In order of joining. */
  readonly workers: readonly WorkerRecord[];
  /** Models, with how many workers for each are on their way. */
  readonly announced: readonly (readonly [string, number])[];
}

/** What a request found out about a worker. */
export interface WorkerNews {
  readonly at: SlotId;
  readonly what: 'unreachable' | 'model_unknown' | 'transfer_failed';
}

/** From control to every thread: those of one turn together, so that a thread sees them at once as control does. */
export const REGISTRY_CHANGES: MessageKind<readonly NumberedChange[]> = { name: 'registry_changes' };
/** From a thread that begins. */
export const REGISTRY_SNAPSHOT: QuestionKind<undefined, RegistrySnapshot> = { name: 'registry_snapshot' };
/** From a thread. */
export const WORKER_NEWS: MessageKind<WorkerNews> = { name: 'worker_news' };

export function slotIdOf({ slot, generation }: SlotId): SlotId {
  return { slot, generation };
}

export function factsOfWorker({ cacheConfig, eventSources }: Worker): CacheFacts {
  return { cacheConfig, eventSources };
}

export function stateOfWorker(worker: Worker): WorkerState {
  const { healthy, admitted, changedAt, reason } = worker.health;
  return {
    health: { healthy, admitted, changedAt, reason },
    engine: worker.engine,
    progress: worker.progress.state,
    draining: worker.draining,
    rampStartedAt: worker.rampStartedAt,
  };
}
