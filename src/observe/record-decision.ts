import type { RequestSeries } from './kept-series.ts';
import { boundedMethod, type Metrics } from './metrics.ts';

/**
 * What metrics and the access line read of a finished request. The decision record satisfies it; this is the lower
 * layer's own view, so that observing does not depend on the request path. Durations in ms, sizes in bytes.
 */
export interface FinishedRequest {
  readonly request_id: string;
  readonly http_method: string;
  readonly route: string;
  readonly status: number;
  readonly outcome: 'ok' | 'client_abort' | 'worker_broken' | 'rejected' | 'router_error';
  readonly error?: string;
  readonly stream: boolean;
  readonly tenant?: string;
  readonly requested_model?: string;
  readonly model?: string;
  readonly rule?: string;
  readonly rule_missed?: string;
  readonly method?: string;
  readonly policy?: string;
  readonly worker?: string;
  readonly reason?: string;
  readonly cluster?: string;
  readonly hash_key_source?: string;
  readonly attempts: readonly FinishedAttempt[];
  /** Where a cache of answers is configured for the route. */
  readonly cache_status?: string;
  readonly cache_similarity?: number;
  readonly cache_bypass?: string;
  readonly cache_ms?: number;
  /** Where there are prefill workers. */
  readonly external?: { readonly backend: string };
  readonly pd?: FinishedPair;
  readonly predicted_cached_tokens?: number;
  readonly actual_cached_tokens?: number;
  /** How the worker's cache was known. */
  readonly cache_source?: string;
  readonly ttft_ms?: number;
  readonly prompt_tokens?: number;
  readonly completion_tokens?: number;
  readonly tokens_estimated?: boolean;
  /** Absent for `normal`. */
  readonly priority_class?: string;
  readonly queue_ms: number;
  readonly wait_ms?: number;
  readonly duration_ms: number;
  readonly total_ms: number;
  /** The router's own time, where it was measured. */
  readonly overhead_ms?: number;
  /** What the pre-routing hooks said, in order; their words are those of the header. */
  readonly hooks_ran?: readonly string[];
  readonly hooks_ms?: number;
  readonly request_bytes: number;
  readonly response_bytes: number;
}

/** Whether two workers served the request, and who computed the prompt. */
export interface FinishedPair {
  readonly split: boolean;
  readonly reason: string;
  readonly prefill_worker?: string;
  readonly prefill_policy?: string;
}

export interface FinishedAttempt {
  readonly worker: string;
  readonly role?: 'prefill' | 'decode';
  readonly reason: string;
  readonly duration_ms: number;
  readonly resent?: true;
  readonly translated?: true;
}

/** Errors that are admission's own refusals, and the word for them in `reason`. */
const ADMISSION_REJECTIONS: ReadonlySet<string> = new Set([
  'queue_full',
  'router_rate_exceeded',
  'queue_timeout',
  'inflight_bytes_exceeded',
  'shutting_down',
]);

/** Errors of those who were not let in for their key, and the word for them in `reason`. */
const AUTH_FAILURES: ReadonlySet<string> = new Set([
  'missing_api_key',
  'invalid_api_key',
  'key_disabled',
  'key_validation_unavailable',
]);

/** Errors of the limits of a tenant. */
const TENANT_LIMITS: ReadonlySet<string> = new Set([
  'rate_limit_exceeded',
  'concurrency_exceeded',
  'tokens_exceeded',
]);

/**
 * Feeds every series that is counted per request. Called once, when the request has ended. `model` is the bounded label
 * value (`boundedModel`).
 */
export function recordDecision(metrics: Metrics, request: FinishedRequest, model: string): void {
  const httpMethod = boundedMethod(request.http_method);
  const series = metrics.kept.ofRequest(request, httpMethod, model);
  recordHttp(metrics, request, httpMethod, series);
  recordOutcome(metrics, request, series);
  if (request.tenant !== undefined) recordTenant(metrics, request, request.tenant, series);
  for (const attempt of request.attempts) recordAttempt(metrics, request, attempt);
  if (request.pd) recordPair(metrics, request, request.pd);
  if (request.cache_status !== undefined) recordCache(metrics, request, request.cache_status);
  if (request.attempts.length > 0) recordTokens(metrics, request, model, series);
  if (request.rule !== undefined) metrics.modelRulesTotal.with(request.rule, 'applied').inc();
  if (request.rule_missed !== undefined) metrics.modelRulesTotal.with(request.rule_missed, 'no_worker').inc();
  if (request.hash_key_source !== undefined) metrics.hashKeyTotal.with(request.hash_key_source).inc();
  if (request.overhead_ms !== undefined) metrics.overheadSeconds.with().observe(request.overhead_ms / 1000);
}

function recordCache(
  metrics: Metrics,
  { route, cache_ms: spentMs, cache_similarity: similarity }: FinishedRequest,
  status: string,
): void {
  if (similarity !== undefined) metrics.cacheSimilarity.with().observe(similarity);
  metrics.cacheLookupsTotal.with(route, status).inc();
  if (status === 'bypass') return;
  (status === 'miss' ? metrics.cacheMissesTotal : metrics.cacheHitsTotal).with().inc();
  if (spentMs !== undefined) metrics.cacheLookupDurationSeconds.with().observe(spentMs / 1000);
}

function recordPair(
  metrics: Metrics,
  { route, duration_ms: durationMs }: FinishedRequest,
  { split, reason }: FinishedPair,
): void {
  if (!split) {
    metrics.pdWholeTotal.with(reason).inc();
    return;
  }
  metrics.pdRequestsTotal.with(route).inc();
  metrics.pdRequestDurationSeconds.with(route).observe(durationMs / 1000);
}

function recordHttp(metrics: Metrics, request: FinishedRequest, method: string, series: RequestSeries): void {
  const { route, status, total_ms: totalMs } = request;
  series.httpRequests ??= metrics.httpRequestsTotal.with(
    route,
    method,
    String(status),
    statusClassOf(status),
  );
  series.httpRequests.inc();
  series.httpDuration ??= metrics.httpRequestDurationSeconds.with(route, method, statusClassOf(status));
  series.httpDuration.observe(totalMs / 1000);
}

function recordOutcome(metrics: Metrics, request: FinishedRequest, series: RequestSeries): void {
  const { route, status, outcome, error } = request;
  const routed = request.attempts.length > 0;
  if (routed) {
    series.duration ??= metrics.requestDurationSeconds.with(route);
    series.duration.observe(request.total_ms / 1000);
  }
  if (routed && outcome === 'ok' && status >= 200 && status < 300) {
    series.requests ??= metrics.requestsTotal.with(route);
    series.requests.inc();
    metrics.generateDurationSeconds.with().observe(request.duration_ms / 1000);
  }
  const waited = error === 'queue_timeout' || request.queue_ms > 0;
  if (routed || waited) {
    series.queueDuration ??= metrics.queueDurationSeconds.with(request.priority_class ?? 'normal');
    series.queueDuration.observe(request.queue_ms / 1000);
  }
  if (error !== undefined && ADMISSION_REJECTIONS.has(error))
    metrics.admissionRejectionsTotal.with(error).inc();
  if (error !== undefined && AUTH_FAILURES.has(error)) metrics.authFailuresTotal.with(error).inc();

  if (outcome === 'client_abort') metrics.clientAbortsTotal.with(route).inc();
  // Without attempt and error it is the router's own answer: a health check that says 503 has not failed.
  else if ((routed || error !== undefined) && (status >= 400 || outcome === 'worker_broken')) {
    metrics.requestErrorsTotal.with(route, errorType(error)).inc();
  }
  if (outcome === 'worker_broken' && status < 400 && request.worker !== undefined) {
    metrics.brokenStreamsTotal.with(request.worker).inc();
  }
}

function recordTenant(
  metrics: Metrics,
  request: FinishedRequest,
  tenant: string,
  series: RequestSeries,
): void {
  const { route, status, error } = request;
  if (request.attempts.length > 0) {
    series.tenantRequests ??= metrics.tenantRequestsTotal.with(tenant, route);
    series.tenantRequests.inc();
    series.tenantDuration ??= metrics.tenantRequestDurationSeconds.with(tenant, route);
    series.tenantDuration.observe(request.total_ms / 1000);
  }
  if (error !== undefined && TENANT_LIMITS.has(error)) metrics.tenantRateLimitedTotal.with(tenant).inc();
  if (request.outcome !== 'client_abort' && (status >= 400 || request.outcome === 'worker_broken'))
    metrics.tenantErrorsTotal.with(tenant, route, String(status)).inc();
}

function recordAttempt(metrics: Metrics, request: FinishedRequest, attempt: FinishedAttempt): void {
  const { worker } = attempt;
  const { route, method = 'policy' } = request;
  const policy = attempt.role === 'prefill' ? request.pd?.prefill_policy : request.policy;
  const series = metrics.kept.ofAttempt(worker, route, method, policy);
  // The label's words have underscores where the header's have hyphens (`lmcache_prefix`).
  series.requests ??= metrics.workerRequestsTotal.with(route, worker, method.replaceAll('-', '_'));
  series.requests.inc();
  series.duration ??= metrics.workerRequestDurationSeconds.with(metrics.perWorkerRoute(route), worker);
  series.duration.observe(attempt.duration_ms / 1000);
  if (method === 'policy' && policy !== undefined) {
    series.processed ??= metrics.processedRequestsTotal.with(worker);
    series.processed.inc();
    series.decisions ??= metrics.policyDecisionsTotal.with(policy, worker);
    series.decisions.inc();
  }
  if (method === 'cluster' && request.cluster !== undefined)
    metrics.clusterRequestsTotal.with(request.cluster, worker).inc();
  if (attempt.reason === 'rebalanced') metrics.loadBalancingEventsTotal.with().inc();
  if (attempt.translated) metrics.messagesTranslatedTotal.with(worker).inc();
  if (attempt.resent) metrics.connectionResendsTotal.with(worker).inc();
}

function recordTokens(
  metrics: Metrics,
  request: FinishedRequest,
  model: string,
  series: RequestSeries,
): void {
  const { ttft_ms: ttftMs, prompt_tokens: prompt, completion_tokens: completion } = request;
  if (prompt !== undefined) (series.promptTokens ??= metrics.promptTokensTotal.with(model)).inc(prompt);
  if (completion !== undefined)
    (series.completionTokens ??= metrics.completionTokensTotal.with(model)).inc(completion);
  if (request.stream && ttftMs !== undefined) {
    series.timeToFirstToken ??= metrics.timeToFirstTokenSeconds.with(model);
    series.timeToFirstToken.observe(ttftMs / 1000);
    if (completion !== undefined && completion > 1 && request.outcome === 'ok') {
      const perToken = (request.total_ms - ttftMs) / (completion - 1);
      series.timePerOutputToken ??= metrics.timePerOutputTokenSeconds.with(model);
      series.timePerOutputToken.observe(perToken / 1000);
    }
  }

  const { predicted_cached_tokens: predicted, actual_cached_tokens: actual, pd } = request;
  // It is the cache of the one that computed the prompt.
  const worker = pd?.prefill_worker ?? request.worker;
  if (actual === undefined || prompt === undefined || prompt <= 0) return;
  series.cachedTokenRatio ??= metrics.cachedTokenRatio.with(model);
  series.cachedTokenRatio.observe(actual / prompt);
  if (predicted === undefined || worker === undefined) return;
  const { route, method = 'policy' } = request;
  const policy = pd?.prefill_worker === undefined ? request.policy : pd.prefill_policy;
  const ofWorker = metrics.kept.ofAttempt(worker, route, method, policy);
  ofWorker.predictedTokens ??= metrics.predictedCachedTokensTotal.with(worker);
  ofWorker.predictedTokens.inc(predicted);
  ofWorker.actualTokens ??= metrics.actualCachedTokensTotal.with(worker);
  ofWorker.actualTokens.inc(actual);
  ofWorker.predictionError ??= metrics.cachePredictionErrorRatio.with(worker);
  ofWorker.predictionError.observe(Math.abs(predicted - actual) / prompt);
  const source = request.cache_source ?? 'none';
  const counts = { prompt, predicted, actual, over: predicted - actual, under: actual - predicted };
  for (const [kind, tokens] of Object.entries(counts))
    metrics.cacheAccuracyTokensTotal.with(worker, model, source, kind).inc(Math.max(0, tokens));
}

/** The two words of the reference routers where they fit, else the code of the router's own error. */
function errorType(error: string | undefined): string {
  if (error === undefined) return 'non_retryable_error';
  return error === 'no_worker_available' ? 'no_available_workers' : error;
}

const STATUS_CLASSES = ['', '1xx', '2xx', '3xx', '4xx', '5xx'];

function statusClassOf(status: number): string {
  return STATUS_CLASSES[Math.floor(status / 100)] ?? 'other';
}
