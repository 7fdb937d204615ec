import type { KvEventSettings, WorkerEventTraits } from './kv-events.ts';
import type { AnswerCacheSettings } from './answer-cache.ts';
import type { CacheKnowledge } from './cache-knowledge.ts';
import type { TokenSettings } from './exact-tokens.ts';
import type { ExternalRule, ExternalTraits } from './external-settings.ts';
import type { FleetRole, KvTransferTraits, PdSettings, WorkerRole } from './pd-settings.ts';
import type { PolicySettings } from './policy-parameters.ts';
import type { SharedPrefixesSettings } from './shared-prefix-settings.ts';
import type { HookPlugin } from '../../plugins/plugin.ts';
import type { SemanticSettings } from './semantic-settings.ts';
import type { SharedStateSettings } from './shared-state-settings.ts';
import type { CacheIndexSettings, LmcacheSettings } from './cache-knowledge-settings.ts';
import type {
  BreakerSettings,
  HealthSettings,
  RetrySettings,
  StallSettings,
} from './reliability-settings.ts';

export type {
  BreakerSettings,
  CacheIndexSettings,
  HealthSettings,
  LmcacheSettings,
  RetrySettings,
  StallSettings,
};
export type {
  ClusterSettings,
  EmbeddingSettings,
  SemanticCacheSettings,
  SemanticClusterSettings,
  SemanticSettings,
} from './semantic-settings.ts';
export type { ExternalRule, ExternalTraits, ExternalWhen, ProxyAddress } from './external-settings.ts';
export type {
  FleetRole,
  KvTransferTraits,
  PdSettings,
  PdStage,
  StagePolicy,
  WorkerRole,
} from './pd-settings.ts';
export {
  policyName,
  type BuiltInPolicySettings,
  type PluginPolicySettings,
  type PolicySettings,
} from './policy-parameters.ts';
import type { ListenerTls, WorkerTls } from './tls.ts';

export type { ListenerTls, WorkerTls };

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
  /** As it was registered; what counts now is `Worker.traits`. */
  readonly traits: WorkerTraits;
}

/** What is said of a worker beside its address. */
export interface WorkerTraits {
  /** A model that it serves; undefined where only its own list tells. */
  readonly modelId: string | undefined;
  /** Never changes while it is registered. */
  readonly role: WorkerRole;
  /** Of a prefill worker: where decode workers ask for what it has computed (Mooncake, SGLang). */
  readonly bootstrapPort: number | undefined;
  readonly kvTransfer: KvTransferTraits | undefined;
  /** Higher is better: for the requests that ask for a least priority. */
  readonly priority: number;
  /** For the requests that name the most they may cost. */
  readonly cost: number;
  readonly labels: Readonly<Record<string, string>>;
  /** Where its tokenizer lies, as given; a name on a hub is none that is fetched. */
  readonly tokenizerPath: string | undefined;
  /** Where its events are published; undefined where nothing particular is said of it. */
  readonly kvEvents: WorkerEventTraits | undefined;
  /** Of an external one, and of no other. */
  readonly external: ExternalTraits | undefined;
  /** Fields of the reference API that mean nothing to an HTTP worker: kept and shown. */
  readonly unused: Readonly<Partial<Record<UnusedField, string>>>;
}

export const UNUSED_FIELDS = ['reasoning_parser', 'tool_parser', 'chat_template'] as const;
export type UnusedField = (typeof UNUSED_FIELDS)[number];

/** Values for workers by their base URL. */
export interface ByUrl<T> {
  get(baseUrl: string): T | undefined;
}

/** How a worker that is registered while the router runs becomes one or several specs, as those of the file did. */
export interface WorkerDefaults {
  /** Above 1, a URL without a rank stands for that many data-parallel ranks. */
  readonly ranksPerUrl: Readonly<Record<FleetRole, number>>;
  /** The key for a base URL, where there is a particular one; it goes before `apiKey`. */
  readonly apiKeys: ByUrl<string>;
  readonly apiKey: string | undefined;
  /** `apiKey` is that of the one provider that there is; else no provider gets it. */
  readonly isProvidersKey?: boolean;
}

/** A model's own policy. */
export interface ModelPolicy {
  /** A model, or the beginning of its name with `*` behind it. */
  readonly model: string;
  readonly policy: PolicySettings;
}

/** One rule about the names that clients ask for. */
export interface ModelRule {
  /** `rewrite`: its one target always; `fallback`: the first target that has a worker; `split`: one by weight. */
  readonly kind: 'rewrite' | 'fallback' | 'split';
  /** As configured: a name, or its beginning with `*` behind it. */
  readonly match: string;
  readonly targets: readonly ModelTarget[];
}

export interface ModelTarget {
  readonly model: string;
  readonly weight: number;
}

export interface ModelRuleSettings {
  /** In the order of the file. */
  readonly rules: readonly ModelRule[];
  /** Names without a wildcard, with the place of their rule. */
  readonly exact: ReadonlyMap<string, number>;
  /** Beginnings of names, in the order of the file. */
  readonly wildcards: readonly { readonly prefix: string; readonly index: number }[];
  /** Every model that a rule may lead to. */
  readonly targets: ReadonlySet<string>;
  /** What may leave the fleet, in the order of the file; by the names that the rules above lead to. */
  readonly external: readonly ExternalRule[];
}

/** One hook of `pre_routing_hooks`. */
export interface HookSettings {
  /** Unique; fit for headers and labels. */
  readonly name: string;
  readonly source: HttpHookSettings | PluginHookSettings;
  /** For the whole answer, waiting for a place included. */
  readonly timeoutMs: number;
  readonly onError: 'pass' | 'block';
  readonly onReject: 'block403' | 'block400' | 'pass';
  /** Whether it may replace the body. */
  readonly transform: boolean;
  /** What becomes of WebSocket tunnels, which it cannot look into. */
  readonly tunnels: 'refuse' | 'pass';
  readonly maxConcurrent: number;
  readonly breaker: BreakerSettings;
}

export interface HttpHookSettings {
  readonly kind: 'http';
  readonly address: HookAddress;
  readonly authorization: string | undefined;
  /** Flat list of names and values. */
  readonly headers: readonly string[];
  /** Of the client's headers, in lower case. */
  readonly forwardHeaders: readonly string[];
  readonly maxResponseBytes: number;
}

/** A hook that a plugin brings. */
export interface PluginHookSettings {
  readonly kind: 'plugin';
  readonly plugin: HookPlugin;
  /** As it is registered. */
  readonly pluginName: string;
  /** As the plugin's own check left them. */
  readonly parameters: unknown;
  /** Equal for the same hook with the same parameters. */
  readonly identity: string;
  /** Of the client's headers, in lower case. */
  readonly forwardHeaders: readonly string[];
  /** For what of it runs at once. */
  readonly overrunMs: number;
}

export interface HookAddress {
  /** `http(s)://host:port` or `unix:///path.sock`. */
  readonly base: string;
  /** With query. */
  readonly path: string;
}

/** Who is served first when requests must wait: all of a higher class before any of a lower. */
export type PriorityClass = 'high' | 'normal' | 'low';

/** One tenant: who it is, what it may do and how much of it. */
export interface TenantSettings {
  /** Its identity: over reloads, in logs, metrics and records. */
  readonly name: string;
  /** SHA-256 of its keys, in lower-case hexadecimal digits. */
  readonly digests: readonly string[];
  readonly enabled: boolean;
  /** Requests per second; as many, at least one, may come at once. */
  readonly ratePerSecond: number;
  readonly maxConcurrent: number;
  /** Undefined = no limit. */
  readonly tokensPerMinute: number | undefined;
  /** `*`, models, and beginnings of their names with `*` behind them. */
  readonly allowedModels: readonly string[];
  readonly priorityClass: PriorityClass;
  readonly metadata: Readonly<Record<string, string>>;
  /** Whether its requests may go to external backends. */
  readonly allowExternal: boolean;
}

/** Who may call. The one way to check keys that is configured decides alone. */
export type AuthSettings =
  /** Anybody. */
  | { readonly kind: 'open' }
  | { readonly kind: 'tenants'; readonly tenants: readonly TenantSettings[] }
  | { readonly kind: 'one_key'; readonly sha256: string }
  /** Services that know the keys. */
  | {
      readonly kind: 'remote';
      readonly urls: readonly string[];
      /** How long a yes and a no are believed; 0 = not at all. */
      readonly ttlMs: number;
      readonly refusalTtlMs: number;
      readonly timeoutMs: number;
    };

export interface ClientSettings {
  readonly auth: AuthSettings;
  /** Whether workers are asked for the token counts of streams that must be counted. */
  readonly usageInjection: 'off' | 'when_needed';
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
  /** Undefined: plain HTTP. */
  readonly tls: ListenerTls | undefined;
}

export interface LogSettings {
  readonly level: 'trace' | 'debug' | 'info' | 'warn' | 'error';
  readonly format: 'json' | 'pretty' | 'auto';
  readonly dir: string | undefined;
  readonly accessLog: boolean;
}

export interface DecisionLogSettings {
  readonly path: string;
  readonly intervalMs: number;
  readonly includeRequestText: boolean;
  /** Candidates listed in full; Infinity for all. */
  readonly candidates: number;
  readonly maxFileBytes: number;
  readonly maxFileAgeMs: number;
  readonly keepFiles: number;
  readonly maxWaitingBytes: number;
}

/** `doctor`: whatever `vllm-router doctor` checks. */
export type WorkerAdmission = 'probe' | 'doctor';

export interface Settings {
  readonly listen: ListenSettings;
  readonly metrics: { readonly host: string; readonly port: number; readonly enabled: boolean };
  readonly log: LogSettings;
  readonly workers: readonly WorkerSpec[];
  readonly workerDefaults: WorkerDefaults;
  /** What a worker has to pass that is registered while the router runs. */
  readonly workerAdmission: WorkerAdmission;
  /** How to reach each server behind TLS; undefined for what needs nothing particular. */
  readonly workerTls: ByUrl<WorkerTls>;
  /** Where workers registered while it runs are kept over a restart, as configured. */
  readonly stateFile: string | undefined;
  readonly policy: PolicySettings;
  readonly pd: PdSettings;
  /** Modules with policies and hooks, as they were named; loaded once, at the start. */
  readonly plugins: readonly string[];
  /** Policies of their own for single models, in the order of the file. */
  readonly modelPolicies: readonly ModelPolicy[];
  /** Whether this is the gateway of many models, whose workers come and go. */
  readonly gateway: boolean;
  /** Whether everything goes to external backends: there is no fleet. */
  readonly externalOnly: boolean;
  /** Request threads; 1 = the one thread does everything. */
  readonly threads: number;
  /** Whether the process runs made-up chats before it is asked for any. */
  readonly warmUp: boolean;
  /** How long a request waits for a worker that can take it; 0 = it is refused at once. */
  readonly engineWaitMs: number;
  /** Undefined where there are none. */
  readonly modelRules: ModelRuleSettings | undefined;
  /** The model's name in answers where a rule changed it. */
  readonly responseModel: 'resolved' | 'requested';
  /** What workers are sent of Anthropic's API. */
  readonly anthropic: 'auto' | 'pass' | 'translate';
  /** In the order in which they are asked. */
  readonly hooks: readonly HookSettings[];
  /** Sources of the hash key, in order: `header:<name>` and `body:<dotted path>`. */
  readonly hashKey: readonly string[];
  readonly cacheIndex: CacheIndexSettings;
  readonly tokens: TokenSettings;
  readonly cacheKnowledge: CacheKnowledge;
  /** Undefined: answers are not kept. */
  readonly answerCache: AnswerCacheSettings | undefined;
  readonly lmcache: LmcacheSettings;
  readonly kvEvents: KvEventSettings;
  readonly semantic: SemanticSettings;
  /** Undefined where this router is the only one, as far as it knows. */
  readonly sharedState: SharedStateSettings | undefined;
  /** Undefined: there is no such table. */
  readonly sharedPrefixes: SharedPrefixesSettings | undefined;
  readonly retry: RetrySettings;
  readonly breaker: BreakerSettings;
  readonly health: HealthSettings;
  readonly stall: StallSettings;
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
  readonly forwardEncodedBodies: boolean;
  readonly adminApiKey: string | undefined;
  readonly clients: ClientSettings;
  /** Reload when the file of the configuration changes. */
  readonly watchConfig: boolean;
  /** Undefined where records are only kept in memory. */
  readonly decisionLog: DecisionLogSettings | undefined;
  readonly decisionRing: { readonly maxRecords: number; readonly maxBytes: number };
}

/** What is known of a worker of which nothing was said. */
export const DEFAULT_TRAITS: WorkerTraits = {
  modelId: undefined,
  role: 'regular',
  bootstrapPort: undefined,
  kvTransfer: undefined,
  priority: 50,
  cost: 1,
  labels: {},
  tokenizerPath: undefined,
  kvEvents: undefined,
  external: undefined,
  unused: {},
};

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
