import type { RedisSettings } from './redis-settings.ts';

/** Answers that are kept for those who ask the same. */
export interface AnswerCacheSettings {
  /** Undefined: in the memory of the router. */
  readonly redis: RedisSettings | undefined;
  /** What routers that share it sign with. */
  readonly secret: string | undefined;
  /** Bounds of the router's own memory. */
  readonly maxEntries: number;
  readonly maxBytes: number;
  /** Of one answer. */
  readonly maxEntryBytes: number;
  readonly ttlMs: number;
  /** Whether answers are kept that another try would have made otherwise. */
  readonly sampled: boolean;
  readonly sharedBetweenTenants: boolean;
  /** What part of an answer's tokens a tenant pays that gets it from here; 0 to 1. */
  readonly charge: number;
  /** Whether requests wait for one that asks a worker the same just now. */
  readonly coalesce: boolean;
}
