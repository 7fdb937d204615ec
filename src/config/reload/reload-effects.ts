/**
 * What a reload does with a key whose value has changed.
 * - `applied`: new requests, checks and connections follow it; nothing has been learnt under it.
 * - `adopted`: the same, and what was learnt or counted under it is kept.
 * - `policy`: decided by whether the policy changes: its own memory begins anew then, the predicted index is kept where
 *   both policies look at it.
 * - `workers`: the workers that the configuration names are compared one by one.
 * - `restart_needed`: the value of the start stays in force.
 */
export type ReloadEffect = 'applied' | 'adopted' | 'policy' | 'workers' | 'restart_needed';

/** The effect and, where it says more than the word, what happens to the state. */
export type ReloadRow = readonly [effect: ReloadEffect, about?: string];

const LISTENER = 'the listener keeps what it was opened with';
const CERTIFICATES = 'the path stays; what stands in the file is read again at every reload';
const CONNECTIONS = 'new connections follow it; requests under way finish on those they have';
const METRICS = 'the metrics listener keeps what it was opened with';
const LOG_OUTPUT = 'the log keeps the outputs it was opened with';
const BREAKERS = 'circuits stay as they are: open ones stay open, counted failures count';
const HEALTH = 'every worker keeps its health and its counts; pauses follow at once';
const INDEX = 'the predicted index is kept as far as it fits, newest first';
const TOKENS = 'token ids that fit are kept, the most recently used first';
const BUDGET = 'what was counted in the last 10 s counts';
const DOOR = 'requests in flight and in the queue stay';
const RING = 'the newest records that fit are kept';
const ATTEMPTS = 'requests under way keep theirs';

/** One row for every key there is; a test compares the two. */
export const RELOAD_EFFECTS: Readonly<Record<string, ReloadRow>> = {
  'mode.type': ['restart_needed'],
  'mode.worker_urls': ['workers'],
  worker_urls: ['workers'],
  workers: ['workers', 'their key, model, priority, cost and labels change where they stand'],
  intra_node_data_parallel_size: ['restart_needed', 'ranks are other workers than the server as a whole'],
  api_key: ['workers', 'every worker without a key of its own gets it, those registered through the API too'],
  worker_api_keys: ['workers', 'workers get their new keys where they stand'],
  'worker_tls.ca_file': ['applied', CONNECTIONS],
  'worker_tls.cert_file': ['applied', CONNECTIONS],
  'worker_tls.key_file': ['applied', CONNECTIONS],
  'worker_tls.server_name': ['applied', CONNECTIONS],
  'worker_tls.insecure_skip_verify': ['applied', CONNECTIONS],
  worker_tls_overrides: ['applied', CONNECTIONS],
  state_file: ['restart_needed', 'the file that is open stays the one that is written'],
  worker_startup_timeout_secs: ['applied', 'to registrations that begin from now on'],
  worker_startup_check_interval_secs: ['adopted', HEALTH],
  load_check_interval_secs: ['adopted', 'loads stay; the period begins anew'],
  slow_start_secs: ['adopted', 'ramps under way go on by the new length'],
  unknown_model: ['applied'],
  enable_igw: ['applied', 'to requests; how the router starts is over'],
  engine_wait_timeout_secs: ['applied', 'requests that wait keep theirs'],
  proxy_operator_routes: ['applied'],
  forward_encoded_bodies: ['applied'],
  host: ['restart_needed', LISTENER],
  port: ['restart_needed', LISTENER],
  admin_api_key: ['applied', 'from the next request on'],
  api_keys: ['adopted', 'tenants that keep their name keep their buckets, counters and requests under way'],
  inbound_api_key: ['applied', 'from the next request on'],
  api_key_validation_urls: ['applied', 'what the services said so far is forgotten'],
  api_key_validation_ttl_secs: ['applied', 'what the services said so far is forgotten'],
  api_key_validation_timeout_secs: ['applied', 'what the services said so far is forgotten'],
  usage_injection: ['applied'],
  ssl_certfile: ['restart_needed', CERTIFICATES],
  ssl_keyfile: ['restart_needed', CERTIFICATES],
  ssl_ca_certs: ['restart_needed', CERTIFICATES],
  ssl_cert_reqs: ['restart_needed', LISTENER],
  ssl_min_version: ['restart_needed', LISTENER],
  insecure: ['applied'],
  cors_allowed_origins: ['applied'],
  watch_config: ['applied'],
  threads: ['restart_needed', 'they come with the start'],
  warm_up: ['restart_needed', 'it comes with the start'],
  max_payload_size: ['applied'],
  max_header_size: ['restart_needed', LISTENER],
  max_inflight_body_bytes: ['adopted', 'bodies that are held stay counted'],
  shutdown_delay_secs: ['applied'],
  shutdown_timeout_secs: ['applied'],
  'policy.type': ['policy'],
  'policy.load_check_interval_secs': ['adopted', 'loads stay; the period begins anew'],
  'policy.virtual_nodes': ['policy'],
  'policy.load_bound': ['policy'],
  'policy.sticky_ttl_secs': ['policy'],
  'policy.cache_threshold': ['policy'],
  'policy.balance_abs_threshold': ['policy'],
  'policy.balance_rel_threshold': ['policy'],
  'policy.theta': ['policy'],
  'policy.eviction_interval_secs': ['adopted', 'the next sweep follows it'],
  'policy.fallback': ['policy'],
  'policy.timeout_ms': ['policy'],
  'policy.overrun_ms': ['policy'],
  plugins: ['restart_needed', 'modules are loaded once, at the start'],
  'policy.max_tree_size': ['adopted', INDEX],
  model_policies: ['policy', 'models whose policy stays the same keep what it has learnt'],
  hash_key: ['applied', 'sessions whose key changes with it may move'],
  'cache_index.max_bytes': ['adopted', INDEX],
  'cache_index.idle_ttl_secs': ['adopted', INDEX],
  pre_routing_hooks: ['adopted', 'hooks that keep name and URL keep their connections and circuit'],
  response_model: ['applied'],
  model_rules: ['applied', 'requests under way keep the model they were given'],
  exact_tokens: ['applied'],
  tokenize_timeout_ms: ['applied', ATTEMPTS],
  trust_request_chat_template: ['applied'],
  'prompt_cache.backend': ['restart_needed'],
  'prompt_cache.ttl_secs': ['adopted', TOKENS],
  'prompt_cache.max_entries': ['adopted', TOKENS],
  'prompt_cache.max_bytes': ['adopted', TOKENS],
  request_timeout_secs: ['applied', ATTEMPTS],
  connect_timeout_secs: ['applied', 'requests under way finish on the connections they have'],
  first_token_timeout_secs: ['applied', ATTEMPTS],
  stream_idle_timeout_secs: ['applied', ATTEMPTS],
  tunnel_idle_timeout_secs: ['applied', ATTEMPTS],
  header_timeout_secs: ['restart_needed', LISTENER],
  body_idle_timeout_secs: ['applied', ATTEMPTS],
  max_concurrent_requests: ['adopted', DOOR],
  queue_size: ['adopted', 'a shorter queue sends those away who have least right to their place'],
  queue_timeout_secs: ['adopted', 'for those who wait too, from when they came'],
  rate_limit_tokens_per_second: ['adopted', 'the bucket keeps its fill, up to its new size'],
  'retry.max_retries': ['applied', ATTEMPTS],
  'retry.initial_backoff_ms': ['applied', ATTEMPTS],
  'retry.max_backoff_ms': ['applied', ATTEMPTS],
  'retry.backoff_multiplier': ['applied', ATTEMPTS],
  'retry.jitter_factor': ['applied', ATTEMPTS],
  'retry.budget_ratio': ['adopted', BUDGET],
  'retry.budget_floor': ['adopted', BUDGET],
  disable_retries: ['applied', ATTEMPTS],
  'circuit_breaker.failure_threshold': ['adopted', BREAKERS],
  'circuit_breaker.success_threshold': ['adopted', BREAKERS],
  'circuit_breaker.timeout_duration_secs': ['adopted', BREAKERS],
  'circuit_breaker.window_duration_secs': ['adopted', BREAKERS],
  'circuit_breaker.half_open_max_requests': ['adopted', BREAKERS],
  disable_circuit_breaker: ['adopted', 'switched off, every circuit closes at once'],
  'health_check.failure_threshold': ['adopted', HEALTH],
  'health_check.success_threshold': ['adopted', HEALTH],
  'health_check.timeout_secs': ['adopted', HEALTH],
  'health_check.check_interval_secs': ['adopted', HEALTH],
  'health_check.endpoint': ['adopted', HEALTH],
  'stall_check.min_silence_secs': ['adopted', HEALTH],
  'stall_check.max_silence_secs': ['adopted', HEALTH],
  disable_stall_check: ['adopted', 'switched off, nobody is suspect any more'],
  log_level: ['applied'],
  log_format: ['restart_needed', LOG_OUTPUT],
  log_dir: ['restart_needed', LOG_OUTPUT],
  access_log: ['applied'],
  'metrics.host': ['restart_needed', METRICS],
  'metrics.port': ['restart_needed', METRICS],
  'metrics.enabled': ['restart_needed', METRICS],
  request_id_headers: ['applied'],
  expose_routing_headers: ['applied'],
  'decision_log.export_path': ['restart_needed', 'the file that is open stays the one that is written'],
  'decision_log.export_interval_secs': ['applied'],
  'decision_log.include_request_text': ['applied'],
  'decision_log.candidates': ['applied'],
  'decision_log.max_file_bytes': ['applied'],
  'decision_log.max_file_age_secs': ['applied'],
  'decision_log.keep_files': ['applied', 'when the next file is closed'],
  'decision_log.max_waiting_bytes': ['applied'],
  'decision_ring.max_records': ['adopted', RING],
  'decision_ring.max_bytes': ['adopted', RING],
};
