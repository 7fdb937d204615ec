import * as z from 'zod';
import { bearerKey, count, host, httpToken, key, port, secs, secsOrZero, text } from './field.ts';
import { answerCacheKeys } from './answer-cache-schema.ts';
import { cacheKeys } from './cache-schema.ts';
import { decisionLog } from './decision-log-schema.ts';
import { circuitBreaker, healthCheck, metrics, retry, stallCheck } from './section-schemas.ts';
import { anyPolicySchema } from './plugin-policy-schema.ts';
import { inflightBodyBytesOfThisMachine } from './machine.ts';
import { DEFAULT_HASH_KEY } from '../settings/settings.ts';
import { clientKeys } from './clients-schema.ts';
import { anthropicKeys } from './anthropic-schema.ts';
import { backendKeys } from './external-schema.ts';
import { gatewayKeys } from './gateway-schema.ts';
import { hookKeys } from './hooks-schema.ts';
import { lmcacheKeys } from './lmcache-schema.ts';
import { sharedPrefixKeys } from './shared-prefix-schema.ts';
import { sharedStateKeys } from './shared-state-schema.ts';
import { kvEventKeys, oldKvEventKeys } from './kv-events-schema.ts';
import { modelRuleKeys } from './model-rules-schema.ts';
import { pdKeys, pdModeKeys } from './pd-schema.ts';
import { semanticKeys } from './semantic-schema.ts';
import { startKeys } from './start-schema.ts';
import { timeoutKeys } from './timeouts-schema.ts';
import { tokenKeys } from './tokens-schema.ts';
import { listenerTlsKeys, workerTlsKeys } from './tls-schema.ts';
import { parseUrlPrefix } from './url-prefixes.ts';
import { workerUrl } from './worker-entry.ts';
import { WORKER_URL_FORMS } from './worker-url.ts';

/** Those of files of other routers. */
export const MODES = [
  ...['regular', 'prefill_decode', 'vllm_prefill_decode', 'pd_disaggregation', 'openai'],
] as const satisfies readonly string[];

/** More than one process of this router carries: in effect no bound. */
export const DEFAULT_MAX_CONCURRENT = 32_768;

/** The message quotes nothing: where a name is missing, what stands in its place is the secret. */
const baseUrl = z
  .string()
  .refine(
    (value) => parseUrlPrefix(value) !== undefined,
    `expected the base URL of a worker for each key (${WORKER_URL_FORMS}, without @rank and /v1)`,
  );

/** As browsers write it: without default port and path, so that it can match at all. */
const origin = z
  .string()
  .refine(
    isOrigin,
    'expected an origin, e.g. https://app.example.com, without path and trailing slash, or *',
  );

function isOrigin(value: string): boolean {
  if (value === '*') return true;
  if (/^https?:/i.test(value)) return URL.parse(value)?.origin === value.toLowerCase();
  return /^[a-z][a-z0-9+.-]*:\/\/[^/\s?#]+$/i.test(value);
}

const hashKeySource = z
  .string()
  .regex(
    /^(header:[!#$%&'*+.^_`|~0-9A-Za-z-]+|body:[^.\s]+(\.[^.\s]+)*)$/,
    'expected header:<name> or body:<dotted path>',
  );

/**
 * Every setting: the keys of the YAML file. Validation, flags, environment variables, the JSON schema, the help text and
 * the reference pages are all derived from this one object, so a new key is added here and nowhere else. Keys of
 * parts that do not exist are absent, so that they are refused rather than accepted without effect.
 */
export const configSchema = z.strictObject({
  mode: z
    .strictObject({
      type: key(z.enum(MODES).optional(), {
        group: 'Prefill and decode',
        flags: [],
        switches: {
          '--pd-disaggregation': 'prefill_decode',
          '--vllm-pd-disaggregation': 'vllm_prefill_decode',
        },
        env: false,
        about:
          'May be left out: workers have types. regular: there are no prefill and decode workers. prefill_decode: there are, which hand over as SGLang does unless kv_connector says otherwise. vllm_prefill_decode, pd_disaggregation: as vLLM does. openai: worker_urls are providers of an OpenAI-compatible API, as with backend openai.',
        defaultText: 'what the workers are',
      }),
      worker_urls: key(z.array(workerUrl).optional(), {
        group: 'Workers',
        flags: [],
        env: false,
        about: 'The place of worker_urls in older files; give one of the two.',
        defaultText: 'none',
      }),
      ...oldKvEventKeys,
      ...pdModeKeys,
    })
    .prefault({}),
  worker_urls: key(z.array(workerUrl).default([]), {
    group: 'Workers',
    about:
      'The vLLM servers: http://, https:// or unix:///path.sock. A path is kept as a prefix, url@2 is data-parallel rank 2.',
    value: 'URL',
  }),
  intra_node_data_parallel_size: key(count(1).max(65_536).default(1), {
    group: 'Workers',
    flags: ['--intra-node-data-parallel-size', '--data-parallel-size'],
    about: 'Above 1, every worker URL stands for that many data-parallel ranks, chosen separately.',
  }),
  api_key: key(bearerKey().optional(), {
    group: 'Workers',
    about: 'Bearer key that the router presents to workers.',
    secret: true,
    value: 'KEY',
    defaultText: 'none',
  }),
  worker_api_keys: key(z.record(baseUrl, bearerKey()).default({}), {
    group: 'Workers',
    // A flag would show the keys to everyone who may list processes.
    flags: [],
    about:
      'Keys of single workers by base URL, or by the beginning of it: http://gpu1 stands for every port, http://gw/a for what is below it, the longest counts. They go before api_key.',
    secret: true,
  }),
  ...workerTlsKeys,
  state_file: key(text().optional(), {
    group: 'Workers',
    about:
      'Workers registered through the API are kept in this file over a restart, their keys included. The router waits for workers as long as it takes then.',
    value: 'FILE',
    defaultText: 'none',
  }),
  worker_startup_timeout_secs: key(secs().default(600), {
    group: 'Workers',
    about: 'The router gives up when no worker became healthy for this long after the start.',
  }),
  worker_startup_check_interval_secs: key(secs().default(30), {
    group: 'Workers',
    flags: ['--worker-startup-check-interval', '--worker-startup-check-interval-secs'],
    about: 'Longest pause between two checks of a new worker. The first pause is 0.2 s, then it doubles.',
  }),
  load_check_interval_secs: key(secsOrZero().default(5), {
    group: 'Workers',
    about:
      "How often each worker's own metrics are read to correct the load ledger; 0 = never. A fleet of more than 62 is read less often while no requests come.",
  }),
  slow_start_secs: key(secsOrZero().default(30), {
    group: 'Workers',
    about: 'A new or recovered worker is given its full share only after this long; 0 = at once.',
  }),
  ...anthropicKeys,
  ...gatewayKeys,
  ...modelRuleKeys,
  ...backendKeys,
  ...pdKeys,
  proxy_operator_routes: key(z.boolean().default(false), {
    group: 'Workers',
    about:
      "Lets everybody reach the workers' operator routes (/sleep, /metrics, /v1/load_lora_adapter, ...).",
  }),
  forward_encoded_bodies: key(z.boolean().default(false), {
    group: 'Workers',
    about:
      'Forwards compressed request bodies as they came; else those that the router reads go on decoded, since vLLM does not decode.',
  }),
  host: key(host().default('127.0.0.1'), { group: 'Server', about: 'Address to listen on.', value: 'HOST' }),
  port: key(port().default(30_000), { group: 'Server', about: 'Port to listen on; 0 takes any free port.' }),
  admin_api_key: key(bearerKey().optional(), {
    group: 'Server',
    about: 'Key for operator and admin routes.',
    secret: true,
    value: 'KEY',
    defaultText: 'none',
  }),
  ...clientKeys,
  ...listenerTlsKeys,
  cors_allowed_origins: key(z.array(origin).default([]), {
    group: 'Server',
    about: 'Origins whose pages may call the router; empty = any.',
    value: 'ORIGIN',
  }),
  watch_config: key(z.boolean().default(false), {
    group: 'Server',
    about: 'Reload the configuration when its file changes, a Kubernetes ConfigMap included.',
  }),
  ...startKeys,
  max_payload_size: key(count(1).default(536_870_912), {
    group: 'Server',
    about: 'Largest request body in bytes; above it 413.',
  }),
  max_header_size: key(count(1024).max(16_777_216).default(32_768), {
    group: 'Server',
    about: 'Largest request head in bytes; above it 431.',
  }),
  max_inflight_body_bytes: key(count(1).default(inflightBodyBytesOfThisMachine), {
    group: 'Server',
    about: 'Bytes of all request bodies held at once; above it 503.',
    defaultText: '25% of memory',
  }),
  shutdown_delay_secs: key(secsOrZero().default(0), {
    group: 'Server',
    about: 'After SIGTERM the router reports itself not ready but serves on for this long.',
  }),
  shutdown_timeout_secs: key(secsOrZero().default(300), {
    group: 'Server',
    about: 'Requests and tunnels still open this long after the listener closed are cut.',
  }),
  policy: anyPolicySchema.optional(),
  plugins: key(z.array(text()).default([]), {
    group: 'Plugins',
    about:
      'Modules that bring policies and hooks: paths that begin with ./, ../ or /, from the place of this file (from the working directory where they are flags), or names of packages.',
    value: 'MODULE',
  }),
  ...hookKeys,
  hash_key: key(z.array(hashKeySource).default([...DEFAULT_HASH_KEY]), {
    group: 'Policy',
    about:
      'Where the hash policies find the key of a request: the first of these that is there, else the prompt.',
    value: 'SOURCE',
  }),
  ...cacheKeys,
  ...tokenKeys,
  ...answerCacheKeys,
  ...lmcacheKeys,
  ...semanticKeys,
  ...timeoutKeys,
  ...kvEventKeys,
  ...sharedPrefixKeys,
  ...sharedStateKeys,
  max_concurrent_requests: key(count(1).default(DEFAULT_MAX_CONCURRENT), {
    group: 'Admission',
    about: 'Requests in flight at once, each until its response has ended; the rest queues.',
  }),
  queue_size: key(count(0).default(100), {
    group: 'Admission',
    about: 'Requests that may wait for their turn; above it 429. 0 = no queue.',
  }),
  queue_timeout_secs: key(secs().default(60), {
    group: 'Admission',
    about: 'Longest wait in the queue; above it 408.',
  }),
  rate_limit_tokens_per_second: key(z.number().positive().optional(), {
    group: 'Admission',
    about:
      'Requests per second, as a token bucket. Other routers default it to max_concurrent_requests because their concurrency limit is this bucket; here concurrency is limited for itself.',
    defaultText: 'no rate limit',
  }),
  retry,
  disable_retries: key(z.boolean().default(false), { group: 'Retries', about: 'One attempt per request.' }),
  circuit_breaker: circuitBreaker,
  disable_circuit_breaker: key(z.boolean().default(false), {
    group: 'Circuit breaker',
    about: 'Circuits never open.',
  }),
  health_check: healthCheck,
  stall_check: stallCheck,
  disable_stall_check: key(z.boolean().default(false), {
    group: 'Health checks',
    about: 'Workers that send nothing are never suspect.',
  }),
  log_level: key(z.enum(['trace', 'debug', 'info', 'warn', 'error', 'warning', 'critical']).default('info'), {
    group: 'Logging',
    about: 'Least level that is logged; warning means warn, critical means error.',
  }),
  log_format: key(z.enum(['auto', 'json', 'pretty']).default('auto'), {
    group: 'Logging',
    about: 'auto is pretty on a terminal and JSON elsewhere.',
  }),
  log_dir: key(text().optional(), {
    group: 'Logging',
    about: 'Also log to a file per day in this directory.',
    value: 'DIR',
    defaultText: 'none',
  }),
  access_log: key(z.boolean().default(true), { group: 'Logging', about: 'Log one line per request.' }),
  metrics,
  request_id_headers: key(
    z
      .array(httpToken('the name of a header'))
      .default(['x-request-id', 'x-correlation-id', 'x-trace-id', 'request-id']),
    {
      group: 'Request ids and records',
      about: 'Where a request id is taken from, the first present one wins; an empty list means the default.',
      value: 'HEADER',
    },
  ),
  expose_routing_headers: key(z.boolean().default(true), {
    group: 'Request ids and records',
    about: 'Send the x-vllm-router-* response headers, which name the worker and the reason.',
  }),
  decision_ring: z
    .strictObject({
      max_records: key(count(0).default(1000), {
        group: 'Request ids and records',
        about: 'Decision records kept in memory.',
      }),
      max_bytes: key(count(0).default(33_554_432), {
        group: 'Request ids and records',
        about: 'Bytes that these records may take.',
      }),
    })
    .prefault({}),
  decision_log: decisionLog,
});

/** The validated configuration, in the words of the YAML file, every default filled in. */
export type Config = z.output<typeof configSchema>;
/** What may be written in the YAML file, `policy` as an object. */
export type ConfigInput = z.input<typeof configSchema>;
