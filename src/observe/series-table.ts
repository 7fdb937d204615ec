/* eslint max-lines: off -- one table of data */
/**
 * Every series the router exposes, in one table: `metrics.ts` builds the
 * families from it, the reference page is generated from it. Names, labels and duration buckets of the reference
 * routers are kept, so that their dashboards and alerts go on working.
 */
import type { FamilyType, ThreadRule } from './registry.ts';

export interface SeriesSpec {
  readonly name: string;
  readonly type: FamilyType;
  readonly labels: readonly string[];
  readonly meaning: string;
  /** Upper bounds of a histogram, without +Inf. */
  readonly buckets?: readonly number[];
  /**
   * What is shown where several threads have it. Where nothing else is said, counters and histograms are summed, and a gauge is
   * what control says: whatever is in memory that threads share, or that control alone knows, counts once.
   */
  readonly rule?: ThreadRule;
}

/** Seconds. The bounds of the reference routers for every name that ends in `duration_seconds`. */
const DURATION = [
  0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 45, 60, 90, 120, 180, 240,
];
/** Seconds between tokens: a decode step is 5 to 50 ms on healthy engines, the rest is trouble. */
const TOKEN_TIME = [0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5];
/** Seconds of the router's own work. */
const OVERHEAD = [0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1];
/** Fractions; the first bucket holds the exact zeros. */
const RATIO = [0, 0.1, 0.25, 0.5, 0.75, 0.9, 1];
/** Cosines of what means the same. */
const SIMILARITY = [0.5, 0.7, 0.8, 0.85, 0.9, 0.925, 0.95, 0.96, 0.97, 0.98, 0.99, 0.995, 1];
const ERROR_RATIO = [0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 1];

type Spec<T extends FamilyType, L extends readonly string[]> = SeriesSpec & {
  readonly type: T;
  readonly labels: L;
};

function counter<const L extends readonly string[]>(
  name: string,
  labels: L,
  meaning: string,
  rule?: ThreadRule,
): Spec<'counter', L> {
  return { name, type: 'counter', labels, meaning, ...(rule && { rule }) };
}

function gauge<const L extends readonly string[]>(
  name: string,
  labels: L,
  meaning: string,
  rule?: ThreadRule,
): Spec<'gauge', L> {
  return { name, type: 'gauge', labels, meaning, ...(rule && { rule }) };
}

function histogram<const L extends readonly string[]>(
  name: string,
  labels: L,
  buckets: readonly number[],
  meaning: string,
): Spec<'histogram', L> {
  return { name, type: 'histogram', labels, meaning, buckets };
}

/** Fed by `recordDecision`, once per request, when it has ended. */
const REQUEST_SERIES = {
  requestsTotal: counter(
    'vllm_router_requests_total',
    ['route'],
    'Routed requests that ended well with a 2xx.',
  ),
  requestDurationSeconds: histogram(
    'vllm_router_request_duration_seconds',
    ['route'],
    DURATION,
    'Routed requests from arrival to the last byte, whatever their end.',
  ),
  generateDurationSeconds: histogram(
    'vllm_router_generate_duration_seconds',
    [],
    DURATION,
    'Routed requests that ended well with a 2xx: to the response head for streams, else to the end.',
  ),
  requestErrorsTotal: counter(
    'vllm_router_request_errors_total',
    ['route', 'error_type'],
    'Failed requests. error_type: no_available_workers; non_retryable_error (an error status of a worker, passed on); else the error code the router answered with. Clients that left are not errors.',
  ),
  httpRequestsTotal: counter(
    'vllm_router_http_requests_total',
    ['route', 'method', 'status_code', 'status_class'],
    'All requests, by the status sent (499: the client left before the head).',
  ),
  httpRequestDurationSeconds: histogram(
    'vllm_router_http_request_duration_seconds',
    ['route', 'method', 'status_class'],
    DURATION,
    'All requests from arrival to the last byte.',
  ),
  timeToFirstTokenSeconds: histogram(
    'vllm_router_time_to_first_token_seconds',
    ['model'],
    DURATION,
    'Streams: from arrival to the first byte of the body sent to the client, queueing and retries included.',
  ),
  timePerOutputTokenSeconds: histogram(
    'vllm_router_time_per_output_token_seconds',
    ['model'],
    TOKEN_TIME,
    'Streams: mean time per token after the first, one observation per stream.',
  ),
  promptTokensTotal: counter(
    'vllm_router_prompt_tokens_total',
    ['model'],
    "Prompt tokens, from the workers' usage where it is given, else estimated.",
  ),
  completionTokensTotal: counter(
    'vllm_router_completion_tokens_total',
    ['model'],
    "Generated tokens, from the workers' usage where it is given, else estimated.",
  ),
  cachedTokenRatio: histogram(
    'vllm_router_cached_token_ratio',
    ['model'],
    RATIO,
    'Share of the prompt that the worker took from its prefix cache, by its own usage.',
  ),
  predictedCachedTokensTotal: counter(
    'vllm_router_predicted_cached_tokens_total',
    ['worker'],
    'Cached prompt tokens expected of the worker, over answers that also say how many there were.',
  ),
  actualCachedTokensTotal: counter(
    'vllm_router_actual_cached_tokens_total',
    ['worker'],
    'Cached prompt tokens the worker reported, over the same answers. Predicted above actual: the worker forgets sooner than thought; below: affinity the router does not see.',
  ),
  cacheAccuracyTokensTotal: counter(
    'vllm_router_cache_accuracy_tokens_total',
    ['worker', 'model', 'source', 'kind'],
    'Over answers that say how many tokens were cached, by how the cache was known: tokens of the prompts (prompt), predicted and actual ones, and those by which predictions were above (over) or below (under). Error: over + under; bias: over - under.',
  ),
  cachedTokensUnreportedTotal: counter(
    'vllm_router_cached_tokens_unreported_total',
    ['worker'],
    'Answers that say how many tokens their prompt had, and not how many were cached (vLLM: --enable-prompt-tokens-details).',
  ),
  cacheVerdict: gauge(
    'vllm_router_cache_verdict',
    ['worker', 'verdict'],
    '1 for what the answers of a worker show of what is known of its cache: unknown, ok, prefix_caching_off, block_size_differs, events_off, cached_tokens_not_reported, template_differs, cache_thrashing.',
  ),
  cachePredictionErrorRatio: histogram(
    'vllm_router_cache_prediction_error_ratio',
    ['worker'],
    ERROR_RATIO,
    'Distance of predicted from actual cached tokens, as a share of the prompt.',
  ),
  queueDurationSeconds: histogram(
    'vllm_router_queue_duration_seconds',
    ['class'],
    DURATION,
    'Wait for admission, of every request that asked for it, by priority class (high, normal, low).',
  ),
  admissionRejectionsTotal: counter(
    'vllm_router_admission_rejections_total',
    ['reason'],
    'Requests refused by admission: queue_full and router_rate_exceeded (429), queue_timeout (408), inflight_bytes_exceeded (503), shutting_down (503).',
  ),
  tenantRequestsTotal: counter(
    'vllm_router_tenant_requests_total',
    ['tenant', 'route'],
    'Routed requests by the tenant whose key they came with.',
  ),
  tenantRequestDurationSeconds: histogram(
    'vllm_router_tenant_request_duration_seconds',
    ['tenant', 'route'],
    DURATION,
    'The same requests from arrival to the last byte.',
  ),
  tenantErrorsTotal: counter(
    'vllm_router_tenant_errors_total',
    ['tenant', 'route', 'error_type'],
    'Requests of a tenant that were answered with an error; error_type is the status.',
  ),
  tenantRateLimitedTotal: counter(
    'vllm_router_tenant_rate_limited_total',
    ['tenant'],
    "Requests that the tenant's own limits refused (429): requests per second, at a time, tokens per minute.",
  ),
  authFailuresTotal: counter(
    'vllm_router_auth_failures_total',
    ['reason'],
    'Requests whose key did not let them in: missing_api_key, invalid_api_key (401), key_disabled (403), key_validation_unavailable (503).',
  ),
  overheadSeconds: histogram(
    'vllm_router_overhead_seconds',
    [],
    OVERHEAD,
    "The router's own time per request: not waiting for the client, the queue or a worker.",
  ),
  clientAbortsTotal: counter(
    'vllm_router_client_aborts_total',
    ['route'],
    'Requests whose client left before the end.',
  ),
  brokenStreamsTotal: counter(
    'vllm_router_broken_streams_total',
    ['worker'],
    'Answers that a worker broke after the client had received the head.',
  ),
  hashKeyTotal: counter(
    'vllm_router_hash_key_total',
    ['source'],
    'Requests by the source of their hash key; source prompt means that no configured header or field was there.',
  ),
  modelRulesTotal: counter(
    'vllm_router_model_rules_total',
    ['rule', 'outcome'],
    'Requests by the pattern of the model rule that matched; outcome applied, or no_worker where none of its models had a worker and the next rule was tried.',
  ),
  workerRequestsTotal: counter(
    'vllm_router_worker_requests_total',
    ['route', 'worker', 'routing'],
    'Attempts sent to a worker, by who chose it (policy, owner, lmcache_prefix, cluster).',
  ),
  workerRequestDurationSeconds: histogram(
    'vllm_router_worker_request_duration_seconds',
    ['route', 'worker'],
    DURATION,
    'Attempts from dispatch to their end. Above 64 workers without the route label.',
  ),
  processedRequestsTotal: counter(
    'vllm_router_processed_requests_total',
    ['worker'],
    'Times a policy chose the worker and the attempt was sent.',
  ),
  policyDecisionsTotal: counter(
    'vllm_router_policy_decisions_total',
    ['policy', 'worker'],
    'Times this policy chose the worker and the attempt was sent.',
  ),
  loadBalancingEventsTotal: counter(
    'vllm_router_load_balancing_events_total',
    [],
    'Attempts for which cache_aware put balance before affinity because the loads were too far apart.',
  ),
  messagesTranslatedTotal: counter(
    'vllm_router_messages_translated_total',
    ['worker'],
    "Attempts that put a request of Anthropic's API in OpenAI's words, for a worker that does not know it.",
  ),
  connectionResendsTotal: counter(
    'vllm_router_connection_resends_total',
    ['worker'],
    'Requests sent again on a fresh connection because a kept-alive one had died.',
  ),
} as const;

/** Fed where the thing happens. */
const EVENT_SERIES = {
  retriesTotal: counter('vllm_router_retries_total', ['route'], 'Backoffs taken before another attempt.'),
  retryBackoffDurationSeconds: histogram(
    'vllm_router_retry_backoff_duration_seconds',
    ['attempt'],
    DURATION,
    'Delay before attempt n; the first retry is 1.',
  ),
  retriesExhaustedTotal: counter(
    'vllm_router_retries_exhausted_total',
    ['route'],
    'Requests that failed after all their attempts.',
  ),
  retryBudgetRefusalsTotal: counter(
    'vllm_router_retry_budget_refusals_total',
    ['route'],
    'Retries not taken because too many requests were being retried.',
  ),
  interTokenLatencySeconds: histogram(
    'vllm_router_inter_token_latency_seconds',
    ['model'],
    TOKEN_TIME,
    'Streams: time between two events of the worker, as the relay sees them.',
  ),
  queuePushedOutTotal: counter(
    'vllm_router_queue_pushed_out_total',
    ['class'],
    'Waiting requests, by their priority class, whose place in the full queue went to a request of a higher class or of a tenant with fewer waiting (429).',
  ),
  pluginFailuresTotal: counter(
    'vllm_router_plugin_failures_total',
    ['plugin', 'kind'],
    "Failures of plugins, whose fallback decided or whose hook's on_error did: threw, timeout, invalid (an answer that cannot be used) or overrun (it held the process up).",
  ),
  tenantTokensTotal: counter(
    'vllm_router_tenant_tokens_total',
    ['tenant'],
    "Tokens of prompts and answers, from the workers' usage where it is given, else estimated: what is spent of tokens_per_minute.",
  ),
  workerHealth: gauge('vllm_router_worker_health', ['worker'], '1 healthy, 0 not (yet).'),
  workerProgress: gauge(
    'vllm_router_worker_progress',
    ['worker'],
    'Whether answers come from it: 0 moving, 1 suspect (silent for too long), 2 stalled (and a probe was not answered).',
  ),
  workerProgressTransitionsTotal: counter(
    'vllm_router_worker_progress_transitions_total',
    ['worker', 'to'],
    'How often the worker became moving again, suspect or stalled.',
    'control',
  ),
  stallProbesTotal: counter(
    'vllm_router_stall_probes_total',
    ['worker', 'outcome'],
    'One-token probes of suspect and stalled workers: answered, silent (no answer in time), failed, or unasked (the router could not ask).',
    'control',
  ),
  workerAsleep: gauge(
    'vllm_router_worker_asleep',
    ['worker'],
    '1 while the engine says that it sleeps or is paused, else 0.',
  ),
  cbState: gauge('vllm_router_cb_state', ['worker'], 'Circuit breaker: 0 closed, 1 open, 2 half-open.'),
  cbStateTransitionsTotal: counter(
    'vllm_router_cb_state_transitions_total',
    ['worker', 'from', 'to'],
    'Circuit breaker transitions between closed, open and half_open.',
    'control',
  ),
  cbOutcomesTotal: counter(
    'vllm_router_cb_outcomes_total',
    ['worker', 'outcome'],
    'Attempts as the circuit breaker counted them: success or failure.',
  ),
  cbFailOpenTotal: counter(
    'vllm_router_cb_fail_open_total',
    [],
    'Choices made although breakers excluded every healthy worker.',
  ),
  pdRequestsTotal: counter(
    'vllm_router_pd_requests_total',
    ['route'],
    'Requests that went through a prefill and a decode worker.',
  ),
  pdRequestDurationSeconds: histogram(
    'vllm_router_pd_request_duration_seconds',
    ['route'],
    DURATION,
    'The same, from arrival until their answer began.',
  ),
  pdWholeTotal: counter(
    'vllm_router_pd_whole_total',
    ['reason'],
    'Requests that one worker did all of although there are prefill workers, and why: whole_sooner, short (below pd.split), never (pd.split says so), not_carried, stored_resource, no_prefill_worker, no_decode_worker, no_pair_ready, pair_failed.',
  ),
  pdPrefillRequestsTotal: counter(
    'vllm_router_pd_prefill_requests_total',
    ['worker'],
    'Prompts that a prefill worker was sent for another one.',
  ),
  pdDecodeRequestsTotal: counter(
    'vllm_router_pd_decode_requests_total',
    ['worker'],
    'Requests that a decode worker was sent whose prompt another one computes.',
  ),
  externalRequestsTotal: counter(
    'vllm_router_external_requests_total',
    ['backend', 'reason'],
    'Requests that were sent to a provider outside of the fleet, by why: unavailable and saturated (the fleet), rule (when: always), mode (backend openai).',
  ),
  externalCoolDownsTotal: counter(
    'vllm_router_external_cool_downs_total',
    ['backend', 'status'],
    'Answers after which a provider is left alone for a while: 429, a refused key or account (401, 402, 403), or any with which it says that nothing is left of its limits.',
  ),
  externalFieldsRemovedTotal: counter(
    'vllm_router_external_fields_removed_total',
    ['backend'],
    'Requests of which a provider was not sent all fields, since only vLLM knows them.',
  ),
  pdErrorsTotal: counter(
    'vllm_router_pd_errors_total',
    ['error_type'],
    'What kept a pair from serving: server_selection (none could be chosen), prefill, decode (no answer, or an error), handover (a 500, or an error in the place of the first event: the blocks may not have come), no_params (a prefill worker that kept none), decode_rejected (a 400 or 422 of the decode worker alone), unmerged (an answer too long to be told what the prefill worker said of the prompt).',
  ),
  pdPrefillErrorsTotal: counter(
    'vllm_router_pd_prefill_errors_total',
    ['worker'],
    'Prompts that a prefill worker did not compute.',
  ),
  pdDecodeErrorsTotal: counter(
    'vllm_router_pd_decode_errors_total',
    ['worker'],
    'Requests of pairs that a decode worker did not begin to answer.',
  ),
  pdStreamErrorsTotal: counter(
    'vllm_router_pd_stream_errors_total',
    ['worker'],
    'Answers of pairs that broke after their beginning.',
  ),
  pdHandoverSeconds: histogram(
    'vllm_router_pd_handover_seconds',
    [],
    OVERHEAD,
    "The router's own time between the end of a prefill worker's answer and the request to the decode worker.",
  ),
  pdFetchSeconds: histogram(
    'vllm_router_pd_fetch_seconds',
    [],
    DURATION,
    "From the request to the decode worker, or the end of prefill where that is later, to the answer's first byte.",
  ),
  pdProfileErrorsTotal: counter(
    'vllm_router_pd_profile_errors_total',
    ['worker'],
    'Calls of /start_profile and /stop_profile that failed; only made with pd.profile.',
  ),
  hookRequestsTotal: counter(
    'vllm_router_hook_requests_total',
    ['hook', 'outcome'],
    'Requests that a pre-routing hook was asked about. outcome: allowed, transformed, transform_no_body, rejected, rejected_ignored, unknown, timeout, error (without a call while its circuit is open).',
  ),
  hookDurationSeconds: histogram(
    'vllm_router_hook_duration_seconds',
    ['hook'],
    DURATION,
    'From asking a pre-routing hook to its answer, its failure or its timeout.',
  ),
  hookCbState: gauge(
    'vllm_router_hook_cb_state',
    ['hook'],
    'Circuit breaker of a pre-routing hook: 0 closed, 1 open, 2 half-open.',
    'max',
  ),
  hookCbStateTransitionsTotal: counter(
    'vllm_router_hook_cb_state_transitions_total',
    ['hook', 'from', 'to'],
    'Circuit breaker transitions of a pre-routing hook.',
  ),
  lmcacheLookupsTotal: counter(
    'vllm_router_lmcache_lookups_total',
    ['outcome'],
    "Prompts that LMCache's controller was to be asked about. outcome: hit, miss (nobody stores the beginning), unmapped (instances that belong to no worker do), short (less than a chunk: not asked), unavailable (the controller has not answered yet: not asked), nobody (no instance of its list belongs to a worker: not asked), timeout, error, too_large, circuit_open, busy (both not asked).",
  ),
  lmcacheLookupDurationSeconds: histogram(
    'vllm_router_lmcache_lookup_duration_seconds',
    [],
    DURATION,
    "From asking LMCache's controller where a prompt is stored to its answer, its failure or the timeout.",
  ),
  lmcachePollsTotal: counter(
    'vllm_router_lmcache_polls_total',
    ['outcome'],
    "Times that LMCache's controller was asked which instances there are and what they store. outcome: listed, unlisted (it is too old to have a list), timeout, error.",
  ),
  lmcacheUnreadEntriesTotal: counter(
    'vllm_router_lmcache_unread_entries_total',
    [],
    "Entries in answers of LMCache's controller that make no sense: without a name, with a negative length or with one beyond the prompt.",
  ),
  lmcacheInstances: gauge(
    'vllm_router_lmcache_instances',
    ['mapping'],
    "Instances that LMCache's controller lists. mapping: mapped (to workers), unmapped (no worker fits), ambiguous (several do).",
  ),
  lmcacheListAgeSeconds: gauge('vllm_router_lmcache_list_age_seconds', [], 'Since that list was read.'),
  lmcacheCbState: gauge(
    'vllm_router_lmcache_cb_state',
    [],
    "Circuit breaker of look-ups at LMCache's controller: 0 closed, 1 open, 2 half-open.",
    'max',
  ),
  lmcacheCbStateTransitionsTotal: counter(
    'vllm_router_lmcache_cb_state_transitions_total',
    ['from', 'to'],
    "Circuit breaker transitions of look-ups at LMCache's controller.",
  ),
  embeddingsTotal: counter(
    'vllm_router_embeddings_total',
    ['outcome'],
    'Texts that a vector was wanted of. outcome: embedded, timeout, error, refused (a 4xx about the text), unusable (no vector, NaN, or other dimensions than before), too_large, aborted (the client left), circuit_open, busy (both not asked).',
  ),
  embeddingDurationSeconds: histogram(
    'vllm_router_embedding_duration_seconds',
    [],
    DURATION,
    'From asking the embedder for a vector to its answer, its failure or the timeout.',
  ),
  embedderCbState: gauge(
    'vllm_router_embedder_cb_state',
    [],
    'Circuit breaker of the embedder: 0 closed, 1 open, 2 half-open.',
    'max',
  ),
  embedderCbStateTransitionsTotal: counter(
    'vllm_router_embedder_cb_state_transitions_total',
    ['from', 'to'],
    'Circuit breaker transitions of the embedder.',
  ),
  clusterMatchesTotal: counter(
    'vllm_router_cluster_matches_total',
    ['outcome'],
    'Requests that were compared with the semantic clusters. outcome: matched, below_threshold, no_vector (the embedder did not say in time), no_clusters (no example is known yet).',
  ),
  clusterRequestsTotal: counter(
    'vllm_router_cluster_requests_total',
    ['cluster', 'worker'],
    'Attempts sent to a worker because it serves the semantic cluster of the request.',
  ),
  clusterFallbackTotal: counter(
    'vllm_router_cluster_fallback_total',
    ['route'],
    'Requests that no semantic cluster was near enough to, or whose cluster had no worker that could take them: they went where any request goes.',
  ),
  clusterExamples: gauge(
    'vllm_router_cluster_examples',
    ['cluster', 'state'],
    'Examples of a semantic cluster. state: embedded, missing (skipped, or not known yet).',
  ),
  kvEventsBatchesTotal: counter(
    'vllm_router_kv_events_batches_total',
    ['worker'],
    "Messages with engines' cache events that were read, those of replays included.",
    'control',
  ),
  kvEventsTotal: counter(
    'vllm_router_kv_events_total',
    ['worker', 'kind'],
    'What they told of: blocks stored, blocks removed, caches cleared.',
    'control',
  ),
  kvEventsGapsTotal: counter(
    'vllm_router_kv_events_gaps_total',
    ['worker'],
    'Times that numbers of messages were missing: they are replayed, or all that was known of the engine is forgotten.',
    'control',
  ),
  kvEventsRestartsTotal: counter(
    'vllm_router_kv_events_restarts_total',
    ['worker'],
    'Times that numbers began anew: the engine has another cache than before, and what was known of it is forgotten.',
    'control',
  ),
  kvEventsReplaysTotal: counter(
    'vllm_router_kv_events_replays_total',
    ['worker', 'outcome'],
    'Times that an engine was asked for old messages. outcome: complete, partial (the beginning is no longer there: the rest counts), torn (some were lost on the way, and are asked for again), failed (no connection), timeout.',
    'control',
  ),
  kvEventsMalformedTotal: counter(
    'vllm_router_kv_events_malformed_total',
    ['worker'],
    'Messages whose events could not be read.',
    'control',
  ),
  kvEventsDroppedTotal: counter(
    'vllm_router_kv_events_dropped_total',
    ['worker', 'reason'],
    'What could be read and was not used. Events: unknown_type, other_group (of layers that do not keep the whole prompt), misshapen, unknown_parent and unknown_block (nobody told of the block), block_size (another than before), full (the index has no room). Messages: wrong_rank, wrong_model, misframed, not_held (others before it were missing, and too much waited for them already), and without the label worker unknown_worker (a publisher that connects and names no worker).',
    'control',
  ),
  kvEventsConnectionEndsTotal: counter(
    'vllm_router_kv_events_connection_ends_total',
    ['worker', 'cause'],
    'Connections to publishers that ended or could not be made: unreachable, closed, timeout, not_zmtp, refused, too_large, malformed.',
    'control',
  ),
  kvIndexEvictedTotal: counter(
    'vllm_router_kv_index_evicted_total',
    [],
    'Blocks that engines hold and the index has dropped because kv_events.max_index_bytes had no room.',
    'control',
  ),
  discoveryUpdatesTotal: counter(
    'vllm_router_discovery_updates_total',
    [],
    'Workers that began to register themselves, or ceased to.',
  ),
  discoveryRefusedTotal: counter(
    'vllm_router_discovery_refused_total',
    ['reason'],
    'What workers that register themselves sent and was not followed: malformed, unknown_type, bad_address (no IP address and port), low_port (below 1024), special_address (link-local, multicast, unspecified, mapped), own_address (the router itself), not_allowed (outside of pd.discovery_allow), changed (something else of a server that is known), address_taken (the zmq_address of another one), other_transfer_mode, too_many, connection (one beyond the bound, or that had to be left).',
  ),
  pdBootstrapQueriesTotal: counter(
    'vllm_router_pd_bootstrap_queries_total',
    ['worker', 'outcome'],
    'Questions to the bootstrap servers of prefill workers for the ids of their engines: told, failed (no answer), malformed.',
  ),
  pdArrivalNoticesTotal: counter(
    'vllm_router_pd_arrival_notices_total',
    ['end'],
    'Notices of LMCache that blocks have arrived: awaited (by a request), expired (nobody asked for them), no_room, malformed, refused (connections that were not taken, or had to be left).',
  ),
  pdArrivalWaitsTotal: counter(
    'vllm_router_pd_arrival_waits_total',
    ['end'],
    'Requests that waited for such notices: arrived, timeout, aborted (the client left).',
  ),
  socketShortagesTotal: counter(
    'vllm_router_socket_shortages_total',
    ['side'],
    'Connections that could not be had, for want of descriptors, ports or buffers: client (refused 503 out_of_sockets), dropped (a client, without a word), accept (the system gave none), worker (to a worker, a hook or a key service).',
  ),
  tlsHandshakeFailuresTotal: counter(
    'vllm_router_tls_handshake_failures_total',
    ['reason'],
    "Connections without agreement on TLS: plain_http, timeout, closed (the client left), refused_by_client (it does not accept the router's certificate), no_common_version, other.",
  ),
  tlsCertificateExpiryTimestampSeconds: gauge(
    'vllm_router_tls_certificate_expiry_timestamp_seconds',
    [],
    "When the listener's certificate ends, seconds since 1970. Only with ssl_certfile.",
    'max',
  ),
  configReloadsTotal: counter(
    'vllm_router_config_reloads_total',
    ['result'],
    'Reloads of the configuration: success, refused (not valid; nothing changed) or failed (the file could not be read).',
    'control',
  ),
  configLastReloadSuccessful: gauge(
    'vllm_router_config_last_reload_successful',
    [],
    '1 when the configuration was last read with success, 0 when it was refused or could not be read.',
  ),
  configLastReloadSuccessTimestampSeconds: gauge(
    'vllm_router_config_last_reload_success_timestamp_seconds',
    [],
    'When the configuration in force was read, seconds since 1970.',
  ),
  engineWaitTotal: counter(
    'vllm_router_engine_wait_total',
    ['outcome'],
    'Waits for a worker that can take the request (engine_wait_timeout_secs), by how they ended: worker_came, timeout, full (as many waited as may), client_left, deadline, shutting_down.',
  ),
  maxLoad: gauge('vllm_router_max_load', [], 'Highest load of a healthy worker, at the scrape.'),
  minLoad: gauge('vllm_router_min_load', [], 'Lowest load of a healthy worker, at the scrape.'),
} as const;

/** Read at each scrape. */
const STATE_SERIES = {
  discoveryPeers: gauge(
    'vllm_router_discovery_peers',
    ['state'],
    'Workers that register themselves. state: joining (being probed), serving, withdrawn (removed by somebody else; stays away until it has been silent), waiting (an earlier one of that URL has not left yet, or there is no room), other_role (registered before as something else).',
  ),
  discoveryWorkersAdded: gauge(
    'vllm_router_discovery_workers_added',
    [],
    'Workers that began to register themselves since the start.',
  ),
  discoveryWorkersRemoved: gauge(
    'vllm_router_discovery_workers_removed',
    [],
    'Workers that ceased to register themselves since the start.',
  ),
  activeWorkers: gauge('vllm_router_active_workers', [], 'Registered workers, healthy or not.'),
  workerLoad: gauge(
    'vllm_router_worker_load',
    ['worker'],
    'Requests in flight on the worker, seen by the router and its peers.',
  ),
  runningRequests: gauge(
    'vllm_router_running_requests',
    ['worker'],
    'Requests this router has in flight on the worker.',
  ),
  treeSize: gauge(
    'vllm_router_tree_size',
    ['worker'],
    'Entries of the predicted prefix index for the worker.',
  ),
  cacheIndexRecordsDroppedTotal: counter(
    'vllm_router_cache_index_records_dropped_total',
    [],
    'Routed prompts that the predicted prefix index has not taken in, because the ring of their thread was full.',
  ),
  kvEventsState: gauge(
    'vllm_router_kv_events_state',
    ['worker'],
    "Its engines' cache events: 0 none (not followed), 1 connecting, 2 live (its cache is known), 3 lost.",
  ),
  kvEventsLastAgeSeconds: gauge(
    'vllm_router_kv_events_last_age_seconds',
    ['worker'],
    'Since the last message with cache events; of several ranks the longest. An engine that computes nothing new sends none.',
  ),
  kvEventsParkedBytes: gauge(
    'vllm_router_kv_events_parked_bytes',
    [],
    'Events that wait for the block before theirs.',
  ),
  kvIndexEntries: gauge(
    'vllm_router_kv_index_entries',
    [],
    "Blocks in the index of engines' events, each as often as ranks hold it.",
  ),
  kvIndexBytes: gauge('vllm_router_kv_index_bytes', [], 'Memory of that index, reserved at once.'),
  inflightRequests: gauge('vllm_router_inflight_requests', [], 'Requests admitted and not yet ended.'),
  queuedRequests: gauge(
    'vllm_router_queued_requests',
    ['class'],
    'Requests waiting for admission, by priority class.',
  ),
  queueFlows: gauge(
    'vllm_router_queue_flows',
    [],
    'Tenants with requests waiting for admission, or with tokens to make up for.',
  ),
  tenantInflightRequests: gauge(
    'vllm_router_tenant_inflight_requests',
    ['tenant'],
    'Requests of the tenant inside the router, waiting ones included.',
  ),
  engineWaitingRequests: gauge(
    'vllm_router_engine_waiting_requests',
    [],
    'Admitted requests waiting for a worker that can take them.',
  ),
  sockets: gauge(
    'vllm_router_sockets',
    ['side'],
    'Open connections: client, or worker (hooks and key services included).',
  ),
  socketsLimit: gauge(
    'vllm_router_sockets_limit',
    ['side'],
    'How many of them there may be, by the limit of open files; absent where that is not known.',
  ),
  inflightBodyBytes: gauge('vllm_router_inflight_body_bytes', [], 'Request bodies held in memory.'),
  decisionRingRecords: gauge(
    'vllm_router_decision_ring_records',
    [],
    'Decision records kept for inspection.',
  ),
  decisionRingBytes: gauge(
    'vllm_router_decision_ring_bytes',
    [],
    'Memory of the kept decision records, estimated.',
  ),
  decisionLogRecordsTotal: counter(
    'vllm_router_decision_log_records_total',
    ['outcome'],
    'Decision records of the log by what became of them: written, or dropped because the disk did not keep up.',
    'control',
  ),
  logLinesDroppedTotal: counter(
    'vllm_router_log_lines_dropped_total',
    [],
    'Log lines given up because the log could not be written fast enough, or went into a file that had been removed.',
    'control',
  ),
  logFilesReopenedTotal: counter(
    'vllm_router_log_files_reopened_total',
    ['log'],
    'Files of a log (log_dir, decision_log) opened anew because the one before had been removed or moved away.',
    'control',
  ),
  metricSeriesDroppedTotal: counter(
    'vllm_router_metric_series_dropped_total',
    ['family'],
    'Updates without a series because the family has reached its limit of series.',
  ),
  threads: gauge('vllm_router_threads', ['state'], 'Request threads: configured, or running right now.'),
  threadRestartsTotal: counter(
    'vllm_router_thread_restarts_total',
    ['reason'],
    'Request threads that were replaced, by what ended the one before.',
    'control',
  ),
  promptTokensSourceTotal: counter(
    'vllm_router_prompt_tokens_source_total',
    ['source'],
    'Requests by where the token ids of their prompt are from: request, cache, local, worker, or estimate (only their number, estimated), where they are asked for.',
  ),
  promptTokensEstimatedTotal: counter(
    'vllm_router_prompt_tokens_estimated_total',
    ['reason'],
    'Prompts whose tokens were asked for and are estimated, by reason: late, busy, slow (prompts of that length have just taken too long), unoffered, refused, failed, or what in the request makes them unknowable.',
  ),
  promptTokensContradictedTotal: counter(
    'vllm_router_prompt_tokens_contradicted_total',
    ['source'],
    'Prompts of which the worker counted other tokens than were found for them (cache, local, worker). The tokenizer is compared again then.',
  ),
  tokenizeTotal: counter(
    'vllm_router_tokenize_total',
    ['source', 'outcome'],
    'Prompts that were to be tokenised, by whom (local, worker) and what came of it (found, busy, slow (one of that length has just taken too long: not tried), unoffered, refused, unsure, failed).',
  ),
  tokenizeDurationSeconds: histogram(
    'vllm_router_tokenize_duration_seconds',
    ['source'],
    DURATION,
    'Time to the token ids of a prompt, by where they were from: cache (0), local, worker.',
  ),
  cacheHitsTotal: counter(
    'vllm_router_cache_hits_total',
    [],
    'Requests that were answered from a cache of answers.',
  ),
  cacheMissesTotal: counter(
    'vllm_router_cache_misses_total',
    [],
    'Requests that such a cache was asked for and had no answer to.',
  ),
  cacheLookupsTotal: counter(
    'vllm_router_cache_lookups_total',
    ['route', 'result'],
    'The same by route and result: exact-hit, semantic-hit, miss, bypass (neither asked nor kept; the record says why).',
  ),
  cacheLookupDurationSeconds: histogram(
    'vllm_router_cache_lookup_duration_seconds',
    [],
    DURATION,
    'Looking for a stored answer, and waiting for one that another request was getting.',
  ),
  cacheSimilarity: histogram(
    'vllm_router_cache_similarity',
    [],
    SIMILARITY,
    'Cosine of what was asked and what was answered before, of answers given by meaning.',
  ),
  semanticCacheLookupsTotal: counter(
    'vllm_router_semantic_cache_lookups_total',
    ['outcome'],
    'Looks for an answer by meaning. outcome: hit, miss, late (the thread that compares did not say in time).',
  ),
  semanticCacheUnaskedTotal: counter(
    'vllm_router_semantic_cache_unasked_total',
    ['reason'],
    'Requests whose answer was not looked for by meaning: no_text (a chat that does not end with its user, several prompts, token ids), too_long (above max_chars), no_vector (the embedder did not say in time).',
  ),
  semanticCacheHeardTotal: counter(
    'vllm_router_semantic_cache_heard_total',
    ['outcome'],
    'Answers that other replicas have kept. outcome: taken, unreadable (none of this version, not signed, or of another model), unavailable (Redis did not answer in time).',
  ),
  semanticCacheEntries: gauge('vllm_router_semantic_cache_entries', [], 'Answers that are kept by meaning.'),
  semanticCacheBytes: gauge(
    'vllm_router_semantic_cache_bytes',
    [],
    'What they take, their vectors included.',
  ),
  cacheStoresTotal: counter(
    'vllm_router_cache_stores_total',
    ['result'],
    'Answers that were to be kept: stored, or why not: status, no_store, not_json, encoded, too_large, no_room, not_replayable, broken.',
  ),
  cacheRejectedTotal: counter(
    'vllm_router_cache_rejected_total',
    ['reason'],
    'Stored entries that were no answers of this version, and were not used.',
  ),
  cacheEntries: gauge(
    'vllm_router_cache_entries',
    [],
    'Stored answers, where they are in the memory of the router.',
  ),
  cacheBytes: gauge('vllm_router_cache_bytes', [], 'Bytes of these.'),
  tokenCacheHitsTotal: counter(
    'vllm_router_token_cache_hits_total',
    [],
    'Prompts whose token ids were in the token cache.',
  ),
  tokenCacheMissesTotal: counter(
    'vllm_router_token_cache_misses_total',
    [],
    'Prompts whose token ids were not in the token cache.',
  ),
  tokenCacheEntries: gauge('vllm_router_token_cache_entries', [], 'Prompts in the token cache.'),
  tokenCacheBytes: gauge('vllm_router_token_cache_bytes', [], 'Bytes that the token cache takes.'),
  sharedPrefixHitsTotal: counter(
    'vllm_router_shared_prefix_hits_total',
    [],
    'Prompts that nobody is known to hold, for whose beginning the shared table has a worker.',
  ),
  sharedPrefixMissesTotal: counter(
    'vllm_router_shared_prefix_misses_total',
    [],
    'Those for whose beginning it has none, or none in time.',
  ),
  sharedPrefixWritesTotal: counter(
    'vllm_router_shared_prefix_writes_total',
    [],
    'Choices that were written there.',
  ),
  sharedPrefixStaleTotal: counter(
    'vllm_router_shared_prefix_stale_total',
    [],
    'Workers found there that could not be chosen, or are not known.',
  ),
  sharedValuesDiscardedTotal: counter(
    'vllm_router_shared_values_discarded_total',
    ['kind', 'reason'],
    'What routers keep for each other in Redis and was not taken (foreign, version, signature, huge, unreadable) or not written (huge, busy), by what it was to be: tokens, prefix, owner, pins. Of answers see cache_rejected_total.',
  ),
  redisUp: gauge(
    'vllm_router_redis_up',
    ['server'],
    'Whether there is a connection to the server of Redis or Valkey. Without one the router goes on as if nothing were stored.',
  ),
  redisTakesWrites: gauge(
    'vllm_router_redis_takes_writes',
    ['server'],
    'Whether it takes writes: 0 when it has no memory left, or is a replica.',
  ),
  redisCommandsTotal: counter(
    'vllm_router_redis_commands_total',
    ['server', 'outcome'],
    'What was asked of it: done, timeout, broken (the connection), full, read_only, denied (to the user), refused, or down (not tried: there is no connection).',
  ),
  redisCommandSeconds: histogram(
    'vllm_router_redis_command_seconds',
    ['server'],
    OVERHEAD,
    'Time to its answers, or until one was given up.',
  ),
  replicas: gauge(
    'vllm_router_replicas',
    [],
    'Replicas of this router that are heard of over shared_state, this one included.',
  ),
  replicaMessagesTotal: counter(
    'vllm_router_replica_messages_total',
    ['outcome'],
    'What replicas told each other: sent, unsent (the server is away), received, late (something newer had come); not used: version (another one), size, signature, malformed, crowded (too many replicas).',
  ),
  sharedLimitsTotal: counter(
    'vllm_router_shared_limits_total',
    ['outcome'],
    'Requests of tenants whose limits all replicas share: entered, over_limit, or away (the server did not answer: the share of this replica decided).',
  ),
  replicaPlacementsDroppedTotal: counter(
    'vllm_router_replica_placements_dropped_total',
    [],
    'Blocks of prompts that other replicas were not told of, since more came at once than a message holds.',
  ),
  localTokenizers: gauge(
    'vllm_router_local_tokenizers',
    ['state'],
    'Models of workers with a tokenizer of the router by how it compares: proving, proven, differs, unproved (the worker could not be asked), unreadable.',
  ),
  helperThreads: gauge(
    'vllm_router_helper_threads',
    ['thread'],
    'Whether the thread is there: index (events of engines), text (templates and tokenizers). Only those that the configuration needs.',
  ),
  helperThreadEndsTotal: counter(
    'vllm_router_helper_thread_ends_total',
    ['thread', 'cause'],
    'Helper threads that ended and are replaced, by cause: fault, out_of_memory, hung, over_time (a job took longer than it may).',
    'control',
  ),
  threadConnections: gauge(
    'vllm_router_thread_connections',
    ['thread'],
    'Connections of clients that the thread holds.',
    'sum',
  ),
  threadEventLoopLagSeconds: gauge(
    'vllm_router_thread_event_loop_lag_seconds',
    ['thread'],
    'Delay of the event loop of the thread (a number, or control) since the last scrape, 99th percentile.',
    'sum',
  ),
  buildInfo: gauge('vllm_router_build_info', ['version'], 'Always 1; the version is in the label.'),
  processCpuSecondsTotal: counter(
    'process_cpu_seconds_total',
    [],
    'User and system CPU time of the process.',
    'control',
  ),
  processResidentMemoryBytes: gauge('process_resident_memory_bytes', [], 'Resident memory of the process.'),
  processHeapBytes: gauge(
    'process_heap_bytes',
    [],
    'JavaScript heap reserved by the process, all its threads together.',
    'sum',
  ),
  processStartTimeSeconds: gauge(
    'process_start_time_seconds',
    [],
    'Start of the process, seconds since 1970.',
  ),
  nodejsEventloopLagP99Seconds: gauge(
    'nodejs_eventloop_lag_p99_seconds',
    [],
    'Delay of the event loop since the last scrape, 99th percentile; of several threads the highest.',
    'max',
  ),
} as const;

/** Field of `Metrics` -> series. The field is the name without `vllm_router_`, in camel case. */
export const SERIES_TABLE = { ...REQUEST_SERIES, ...EVENT_SERIES, ...STATE_SERIES } as const;

export type SeriesTable = typeof SERIES_TABLE;

/** The same as a list, for the reference page. */
export const SERIES: readonly SeriesSpec[] = Object.values(SERIES_TABLE);
