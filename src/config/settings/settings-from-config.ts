import { answerCacheSettings } from './answer-cache-settings.ts';
import { OPEN } from './clients-settings.ts';
import { gatewaySettings } from './gateway-settings.ts';
import { kvEventSettings } from './kv-events-settings.ts';
import { hookSettings } from './hooks-settings.ts';
import { modelRuleSettings } from './model-rules-settings.ts';
import { NO_PLUGINS, policyInForce, type KnownPlugins } from '../schema/plugin-policy-schema.ts';
import { policyDefaults, policySettings } from './policy-settings.ts';
import { configSchema, type Config } from '../schema/schema.ts';
import type {
  AdmissionSettings,
  BreakerSettings,
  CacheIndexSettings,
  DecisionLogSettings,
  ClientSettings,
  HealthSettings,
  ListenSettings,
  LogSettings,
  RetrySettings,
  Settings,
  StallSettings,
  TimeoutSettings,
  WorkerDefaults,
  WorkerRole,
  WorkerSpec,
} from './settings.ts';
import { sharedPrefixesSettings } from './shared-prefixes.ts';
import { sharedStateSettings } from './shared-state.ts';
import { lmcacheSettings } from './lmcache-settings.ts';
import { ms } from './ms.ts';
import { indexParameters } from './index-parameters.ts';
import { isExternalOnly, workerEntries, type ExternalConfig } from './external-from-config.ts';
import { pdSettings } from './pd-from-config.ts';
import { semanticSettings } from './semantic-from-config.ts';
import { tokenSettings } from './tokens-settings.ts';
import { threadsOf } from './threads.ts';
import { NO_TLS, type TlsMaterial } from './tls-settings.ts';
import { UrlPrefixes } from '../schema/url-prefixes.ts';
import { registrationOf, urlOf } from '../schema/worker-entry.ts';
import { specsOf, workerSpecs } from './worker-specs.ts';
import { parseWorkerUrl } from '../schema/worker-url.ts';

/** Longer than the 60 s that common load balancers in front keep idle connections, so that they close first. */
const KEEP_ALIVE_MS = 75_000;

/** Compiles a validated configuration. */
export function settingsFromConfig(
  config: Config,
  plugins: KnownPlugins = NO_PLUGINS,
  tls: TlsMaterial = NO_TLS,
  clients: ClientSettings = OPEN,
): Settings {
  const defaults = workerDefaults(config);
  return {
    listen: listenSettings(config, tls),
    metrics: config.metrics,
    log: logSettings(config),
    workers: [
      ...(isExternalOnly(config) ? [] : config.worker_urls.flatMap((url) => expandWorkers(url, config))),
      ...workerEntries(config).flatMap((entry) => specsOf(registrationOf(entry), defaults)),
    ],
    workerDefaults: defaults,
    workerAdmission: config.admission,
    workerTls: tls.workers,
    stateFile: config.state_file,
    policy: policySettings(policyInForce(config), policyDefaults(config), plugins),
    pd: pdSettings(config, plugins),
    plugins: config.plugins,
    hooks: hookSettings(config.pre_routing_hooks, {
      breakersDisabled: config.disable_circuit_breaker,
      plugins,
    }),
    hashKey: config.hash_key,
    ...cacheSettings(config, tls),
    semantic: semanticSettings(config, tls),
    sharedState: sharedStateSettings(config, tls),
    retry: retrySettings(config),
    breaker: breakerSettings(config),
    health: healthSettings(config),
    stall: stallSettings(config),
    admission: admissionSettings(config),
    timeouts: timeoutSettings(config),
    slowStartMs: ms(config.slow_start_secs),
    workerStartupTimeoutMs: ms(config.worker_startup_timeout_secs),
    workerStartupCheckIntervalMs: ms(config.worker_startup_check_interval_secs),
    loadCheckIntervalMs: ms(config.load_check_interval_secs),
    shutdownDelayMs: ms(config.shutdown_delay_secs),
    shutdownTimeoutMs: ms(config.shutdown_timeout_secs),
    ...gatewaySettings(config, plugins),
    externalOnly: isExternalOnly(config),
    modelRules: modelRuleSettings(config.model_rules),
    responseModel: config.response_model,
    anthropic: config.anthropic,
    requestIdHeaders: requestIdHeaders(config),
    exposeRoutingHeaders: config.expose_routing_headers,
    proxyOperatorRoutes: config.proxy_operator_routes,
    forwardEncodedBodies: config.forward_encoded_bodies,
    adminApiKey: config.admin_api_key,
    clients,
    watchConfig: config.watch_config,
    threads: threadsOf(config.threads),
    warmUp: config.warm_up,
    decisionLog: decisionLogSettings(config),
    decisionRing: ringSettings(config),
  };
}

function cacheSettings(
  config: Config,
  tls: TlsMaterial,
): Pick<
  Settings,
  'cacheIndex' | 'tokens' | 'cacheKnowledge' | 'lmcache' | 'kvEvents' | 'answerCache' | 'sharedPrefixes'
> {
  return {
    cacheIndex: indexSettings(config),
    tokens: tokenSettings(config, tls),
    cacheKnowledge: config.cache_knowledge,
    lmcache: lmcacheSettings(config),
    kvEvents: kvEventSettings(config),
    answerCache: answerCacheSettings(config, tls),
    sharedPrefixes: sharedPrefixesSettings(config, tls),
  };
}

function listenSettings(config: Config, tls: TlsMaterial): ListenSettings {
  return {
    host: config.host,
    port: config.port,
    maxHeaderSize: config.max_header_size,
    headerTimeoutMs: ms(config.header_timeout_secs),
    bodyIdleTimeoutMs: ms(config.body_idle_timeout_secs),
    keepAliveMs: KEEP_ALIVE_MS,
    maxPayloadSize: config.max_payload_size,
    maxInflightBodyBytes: config.max_inflight_body_bytes,
    corsAllowedOrigins: config.cors_allowed_origins.map((origin) => origin.toLowerCase()),
    tls: tls.listener,
  };
}

type WorkerConfig = Pick<
  Config,
  | 'intra_node_data_parallel_size'
  | 'prefill_data_parallel_size'
  | 'decode_data_parallel_size'
  | 'worker_api_keys'
  | 'api_key'
> &
  ExternalConfig;

/** The workers that one entry of `worker_urls` stands for: itself, or one per data-parallel rank. */
export function expandWorkers(url: string, config: WorkerConfig, role?: WorkerRole): WorkerSpec[] {
  const parsed = parseWorkerUrl(url, urlOf(role));
  return parsed.kind === 'bad' ? [] : workerSpecs(parsed.address, workerDefaults(config), role);
}

export function workerDefaults(config: WorkerConfig): WorkerDefaults {
  const ranks = config.intra_node_data_parallel_size;
  return {
    ranksPerUrl: {
      regular: ranks,
      prefill: config.prefill_data_parallel_size ?? ranks,
      decode: config.decode_data_parallel_size ?? ranks,
    },
    apiKeys: UrlPrefixes.of(config.worker_api_keys),
    apiKey: config.api_key,
    isProvidersKey: isExternalOnly(config) && workerEntries(config).length === 1,
  };
}

function indexSettings(config: Config): CacheIndexSettings {
  const limits = indexParameters(config);
  return {
    maxBytes: config.cache_index.max_bytes,
    maxCharsPerWorker: limits.max_tree_size,
    idleTtlMs: ms(config.cache_index.idle_ttl_secs),
    evictionIntervalMs: ms(limits.eviction_interval_secs),
  };
}

function breakerSettings(config: Config): BreakerSettings {
  return {
    enabled: !config.disable_circuit_breaker,
    failureThreshold: config.circuit_breaker.failure_threshold,
    successThreshold: config.circuit_breaker.success_threshold,
    openMs: ms(config.circuit_breaker.timeout_duration_secs),
    windowMs: ms(config.circuit_breaker.window_duration_secs),
    halfOpenTrials: config.circuit_breaker.half_open_max_requests,
  };
}

function healthSettings(config: Config): HealthSettings {
  return {
    path: config.health_check.endpoint,
    intervalMs: ms(config.health_check.check_interval_secs),
    timeoutMs: ms(config.health_check.timeout_secs),
    failureThreshold: config.health_check.failure_threshold,
    successThreshold: config.health_check.success_threshold,
  };
}

function stallSettings({ stall_check: check, disable_stall_check: disabled }: Config): StallSettings {
  return {
    enabled: !disabled,
    minSilenceMs: ms(check.min_silence_secs),
    maxSilenceMs: ms(check.max_silence_secs),
  };
}

function retrySettings({ retry, disable_retries: disabled }: Config): RetrySettings {
  return {
    maxAttempts: disabled ? 1 : retry.max_retries,
    initialBackoffMs: retry.initial_backoff_ms,
    maxBackoffMs: retry.max_backoff_ms,
    multiplier: retry.backoff_multiplier,
    jitter: retry.jitter_factor,
    budgetRatio: retry.budget_ratio,
    budgetFloor: retry.budget_floor,
  };
}

function admissionSettings(config: Config): AdmissionSettings {
  return {
    maxConcurrent: config.max_concurrent_requests,
    queueSize: config.queue_size,
    queueTimeoutMs: ms(config.queue_timeout_secs),
    ratePerSecond: config.rate_limit_tokens_per_second,
  };
}

function timeoutSettings(config: Config): TimeoutSettings {
  return {
    connectMs: ms(config.connect_timeout_secs),
    firstTokenMs: ms(config.first_token_timeout_secs),
    streamIdleMs: ms(config.stream_idle_timeout_secs),
    requestMs: ms(config.request_timeout_secs),
    tunnelIdleMs: ms(config.tunnel_idle_timeout_secs),
  };
}

function logSettings(config: Config): LogSettings {
  const aliases = { warning: 'warn', critical: 'error' } as const;
  const level = config.log_level;
  return {
    level: level === 'warning' || level === 'critical' ? aliases[level] : level,
    format: config.log_format,
    dir: config.log_dir,
    accessLog: config.access_log,
  };
}

const DEFAULT_REQUEST_ID_HEADERS = configSchema.shape.request_id_headers.parse(undefined);

function requestIdHeaders({ request_id_headers: names }: Config): readonly string[] {
  return names.length === 0 ? DEFAULT_REQUEST_ID_HEADERS : names.map((name) => name.toLowerCase());
}

function ringSettings({ decision_ring: ring }: Config): Settings['decisionRing'] {
  return { maxRecords: ring.max_records, maxBytes: ring.max_bytes };
}

function decisionLogSettings({ decision_log: log }: Config): DecisionLogSettings | undefined {
  if (log.export_path === undefined) return undefined;
  return {
    path: log.export_path,
    intervalMs: ms(log.export_interval_secs),
    includeRequestText: log.include_request_text,
    candidates: log.candidates === 'all' ? Infinity : Number(log.candidates),
    maxFileBytes: log.max_file_bytes,
    maxFileAgeMs: ms(log.max_file_age_secs),
    keepFiles: log.keep_files,
    maxWaitingBytes: log.max_waiting_bytes,
  };
}
