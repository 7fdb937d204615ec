import type { WorkerSpec, WorkerTraits } from '../config/settings/settings.ts';
import type { Member } from '../routing/policy.ts';
import type { Circuit } from './breaker.ts';
import type { CacheConfig, EventSource } from './cache-config.ts';
import type { InFlightList } from './in-flight.ts';
import type { Progress } from './progress.ts';

/** What the health checks say. Written by the registry alone. */
export interface WorkerHealth {
  healthy: boolean;
  /** Whether it was ever healthy: a new worker needs one success, a recovered one several. */
  admitted: boolean;
  /** Consecutive successful checks. */
  successes: number;
  /** Consecutive failed checks. */
  failures: number;
  /** `clock.now()` when `healthy` last changed, or of joining. */
  changedAt: number;
  /** Why the last check failed; undefined after a success and before the first check. */
  reason: string | undefined;
}

/** What an engine says of itself, where it does: while it sleeps or is paused, it computes nothing and answers nobody. */
export type EngineState = 'running' | 'sleeping' | 'paused';

/** One engine, or one data-parallel rank of it. */
export interface Worker extends Member {
  /** Tells this worker from an earlier one of the same slot. */
  readonly generation: number;
  /** Replaced by `WorkerRegistry.respec`; the address never changes. */
  spec: WorkerSpec;
  /** What is said of it beside its address. Set by `WorkerRegistry.setTraits`. */
  traits: WorkerTraits;
  /** Names it answers to, aliases and adapters included; empty while not known. Set by `WorkerRegistry.setModels`. */
  models: ReadonlySet<string>;
  /** Those of them that mean an adapter, which has blocks of its own in the cache. Set with the models. */
  adapters: ReadonlySet<string>;
  /** Undefined while it has not told. Set by `WorkerRegistry.setCacheConfig`, and the next by `setEventSources`. */
  cacheConfig: CacheConfig | undefined;
  eventSources: readonly EventSource[] | undefined;
  readonly health: WorkerHealth;
  readonly breaker: Circuit;
  /** As of the last check. Set by `WorkerRegistry.setEngine`. */
  engine: EngineState;
  readonly progress: Progress;
  /** Takes no new requests; those it has are finished. */
  draining: boolean;
  /** `clock.now()` when it became healthy, new or recovered; load is ramped up from there. */
  rampStartedAt: number | undefined;
  /** Requests that were sent here, for operators. Counted by the request path. */
  processed: number;
  /** Those under way, so that a drain whose time is up can end them. Kept by the request path. */
  readonly inFlight: InFlightList;
}
