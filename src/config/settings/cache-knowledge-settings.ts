/** What is known of the workers' caches, and how much of it is kept. */
import type { BreakerSettings } from './reliability-settings.ts';

export interface CacheIndexSettings {
  /** Hard limit of the predicted prefix index, bytes. */
  readonly maxBytes: number;
  /** Characters of prompt kept per worker (`max_tree_size`). */
  readonly maxCharsPerWorker: number;
  /** Entries unused for longer are dropped by the sweep. */
  readonly idleTtlMs: number;
  /** The sweep's period (`eviction_interval_secs`). */
  readonly evictionIntervalMs: number;
}

/** LMCache's controller and what is asked of it. */
export interface LmcacheSettings {
  /** `http(s)://host:port` or `unix:///path.sock`. */
  readonly base: string;
  /** In front of every path. */
  readonly prefix: string;
  readonly authorization: string | undefined;
  readonly api: 'auto' | 'controller' | 'coordinator';
  readonly pollIntervalMs: number;
  /** For an answer of any kind, and for where one prompt is stored. */
  readonly timeoutMs: number;
  readonly lookupTimeoutMs: number;
  /** Ids (or base URLs, for all ranks) of workers by instance. */
  readonly workerMap: ReadonlyMap<string, string>;
  /** Tokens. */
  readonly chunkSize: number;
  /** Ranks of each engine. */
  readonly worldSize: number;
  readonly breaker: BreakerSettings;
  /** Named in the configuration: all policies that look at caches ask it. Else only those do that are made for it. */
  readonly forEveryPolicy: boolean;
}
