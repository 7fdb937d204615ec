/** What is compared by meaning: who turns texts into vectors, and what these are compared with. */
import type { UrlPrefix } from '../schema/url-prefixes.ts';
import type { RedisSettings } from './redis-settings.ts';
import type { BreakerSettings } from './reliability-settings.ts';

export interface EmbeddingAddress {
  /** `http(s)://host:port` or `unix:///path.sock`. */
  readonly base: string;
  /** With query. */
  readonly path: string;
  /** What the user and password in the URL come to. */
  readonly authorization: string | undefined;
}

/** Who turns texts into vectors. */
export interface EmbeddingSettings {
  /** Undefined: workers of the router's own that serve the model are asked. */
  readonly address: EmbeddingAddress | undefined;
  readonly model: string;
  /** Longest wait of a request for its vector. */
  readonly timeoutMs: number;
  readonly breaker: BreakerSettings;
}

/** Texts of one kind, and the workers that are to serve them. */
export interface ClusterSettings {
  readonly name: string;
  readonly examples: readonly string[];
  /** A worker belongs to it that stands below one of these, is one of them, or has all of the labels. */
  readonly prefixes: readonly UrlPrefix[];
  /** Ids of single ranks. */
  readonly ids: readonly string[];
  /** Empty: labels make no difference. */
  readonly labels: Readonly<Record<string, string>>;
}

export interface SemanticClusterSettings {
  /** Least cosine of a text that belongs to a cluster. */
  readonly threshold: number;
  /** Who chooses among the workers of a cluster. */
  readonly within: 'policy' | 'round_robin';
  /** Longest wait for the vector of an example. */
  readonly timeoutMs: number;
  readonly clusters: readonly ClusterSettings[];
}

/** Answers that are given to those who ask the same in other words. */
export interface SemanticCacheSettings {
  /** Least cosine of two questions that have one answer. */
  readonly threshold: number;
  readonly maxEntries: number;
  /** Of answers and vectors together. */
  readonly maxBytes: number;
  /** Of one answer. */
  readonly maxEntryBytes: number;
  readonly ttlMs: number;
  readonly compared: 'last_message' | 'all_messages';
  /** Where replicas share them; undefined: this router has its own. */
  readonly redis: RedisSettings | undefined;
  /** What is kept there is signed with it. */
  readonly secret: string | undefined;
  /** Longer texts are not compared. */
  readonly maxChars: number;
}

/** Parts that are undefined are not wanted. */
export interface SemanticSettings {
  readonly embeddings: EmbeddingSettings | undefined;
  readonly clusters: SemanticClusterSettings | undefined;
  readonly cache: SemanticCacheSettings | undefined;
}
