/**
 * The compiled configuration: what the program runs on. Camel case, milliseconds and bytes. The YAML keys, flags and
 * environment variables that lead here are in `schema.ts`; nothing behind `config/` knows their spelling.
 */
export interface WorkerSpec {
  /** `http://host:port[/prefix]`, `https://...` or `unix:///path.sock`, without `@rank` and trailing slash. */
  readonly baseUrl: string;
  /** Data-parallel rank, sent as `X-data-parallel-rank`. */
  readonly rank: number | undefined;
  /** `baseUrl`, with `@rank` when there is one. The worker's name everywhere. */
  readonly id: string;
  /** Bearer token for this worker: its own key, else the global `api_key`. */
  readonly apiKey: string | undefined;
}

/** How a worker that is registered while the router runs becomes one or several specs, as those of the file did. */
export interface WorkerDefaults {
  /** Above 1, a URL without a rank stands for that many data-parallel ranks. */
  readonly ranksPerUrl: number;
  /** Keys by base URL; they go before `apiKey`. */
  readonly apiKeys: ReadonlyMap<string, string>;
  readonly apiKey: string | undefined;
}

export type PolicySettings =
  | { readonly type: 'random' | 'round_robin' }
  | { readonly type: 'power_of_two'; readonly loadCheckIntervalMs: number }
  | {
      readonly type: 'consistent_hash' | 'rendezvous_hash';
      readonly virtualNodes: number;
      readonly loadBound: number | undefined;
      readonly stickyTtlMs: number;
    }
  | {
      readonly type: 'cache_aware';
      readonly cacheThreshold: number;
      readonly balanceAbsThreshold: number;
      readonly balanceRelThreshold: number;
    }
  | { readonly type: 'least_work'; readonly theta: number };

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

export interface RetrySettings {
  /** Total attempts, the first included. */
  readonly maxAttempts: number;
  readonly initialBackoffMs: number;
  readonly maxBackoffMs: number;
  readonly multiplier: number;
  /** Fraction: 0.2 means +/- 20%. */
  readonly jitter: number;
  /** Retries allowed per request of the last 10 s, and the number always allowed. */
  readonly budgetRatio: number;
  readonly budgetFloor: number;
}

export interface BreakerSettings {
  readonly enabled: boolean;
  readonly failureThreshold: number;
  readonly successThreshold: number;
  readonly openMs: number;
  readonly windowMs: number;
  /** Trial requests allowed at once while half-open. */
  readonly halfOpenTrials: number;
}

export interface HealthSettings {
  readonly path: string;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly failureThreshold: number;
  readonly successThreshold: number;
}

export interface AdmissionSettings {
  readonly maxConcurrent: number;
  readonly queueSize: number;
  readonly queueTimeoutMs: number;
  /** Requests per second; undefined = no rate limit. */
  readonly ratePerSecond: number | undefined;
}

export interface TimeoutSettings {
  readonly connectMs: number;
  /** 0 = off. */
  readonly firstTokenMs: number;
  readonly streamIdleMs: number;
  /** One deadline over queue, backoff and all attempts. */
  readonly requestMs: number;
  readonly tunnelIdleMs: number;
}

export interface ListenSettings {
  readonly host: string;
  /** 0 = any free port. */
  readonly port: number;
  readonly maxHeaderSize: number;
  readonly headerTimeoutMs: number;
  readonly bodyIdleTimeoutMs: number;
  readonly keepAliveMs: number;
  readonly maxPayloadSize: number;
  readonly maxInflightBodyBytes: number;
  readonly corsAllowedOrigins: readonly string[];
}

export interface LogSettings {
  readonly level: 'trace' | 'debug' | 'info' | 'warn' | 'error';
  readonly format: 'json' | 'pretty' | 'auto';
  readonly dir: string | undefined;
  readonly accessLog: boolean;
}

export interface Settings {
  readonly listen: ListenSettings;
  readonly metrics: { readonly host: string; readonly port: number; readonly enabled: boolean };
  readonly log: LogSettings;
  readonly workers: readonly WorkerSpec[];
  readonly workerDefaults: WorkerDefaults;
  /** Where workers registered while it runs are kept over a restart, as configured. */
  readonly stateFile: string | undefined;
  readonly policy: PolicySettings;
  /** Sources of the hash key, in order: `header:<name>` and `body:<dotted path>`. */
  readonly hashKey: readonly string[];
  readonly cacheIndex: CacheIndexSettings;
  readonly retry: RetrySettings;
  readonly breaker: BreakerSettings;
  readonly health: HealthSettings;
  readonly admission: AdmissionSettings;
  readonly timeouts: TimeoutSettings;
  readonly slowStartMs: number;
  readonly workerStartupTimeoutMs: number;
  readonly workerStartupCheckIntervalMs: number;
  /** How often `/metrics` of each worker is read to correct the ledger; 0 = never. */
  readonly loadCheckIntervalMs: number;
  readonly shutdownDelayMs: number;
  /** Streams still open this long after the listener closed are cut. */
  readonly shutdownTimeoutMs: number;
  readonly unknownModel: 'pass' | 'reject';
  readonly requestIdHeaders: readonly string[];
  readonly exposeRoutingHeaders: boolean;
  readonly proxyOperatorRoutes: boolean;
  readonly adminApiKey: string | undefined;
  readonly decisionRing: { readonly maxRecords: number; readonly maxBytes: number };
}

/** Sources of the hash key unless others are set. Ids that name a conversation or a user stand before ids that a proxy in front may make anew for each request. */
export const DEFAULT_HASH_KEY: readonly string[] = [
  'header:x-semantic-cluster-id',
  'header:x-session-id',
  'header:x-user-id',
  'header:x-tenant-id',
  'header:x-correlation-id',
  'header:x-request-id',
  'header:x-trace-id',
  'body:session_params.session_id',
  'body:user',
  'body:session_id',
  'body:user_id',
];
