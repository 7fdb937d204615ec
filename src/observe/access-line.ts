import type { FinishedRequest } from './record-decision.ts';

export interface AccessLine {
  readonly level: 'info' | 'warn' | 'error';
  readonly message: string;
  /** Flat, JSON-ready; nothing of the prompt, no header but the request id. */
  readonly fields: Readonly<Record<string, string | number | boolean | undefined>>;
}

/** Names that clients choose are cut to this many characters. */
const MAX_NAME = 256;

/** The one log line of a finished request. Absent values are undefined and do not appear in the log. */
export function accessLine(request: FinishedRequest): AccessLine {
  const attempts = triesOf(request);
  return {
    level: levelOf(request),
    // Only words the router chose itself: what clients choose is in the fields, where the log quotes it.
    message: `${request.route} ${String(request.status)}${ending(request)}`,
    fields: {
      request_id: cut(request.request_id),
      http_method: request.http_method,
      route: request.route,
      status: request.status,
      outcome: request.outcome,
      error: request.error,
      tenant: request.tenant,
      model: cut(request.model ?? request.requested_model),
      worker: request.worker,
      prefill_worker: request.pd?.prefill_worker,
      method: request.method,
      external: request.external?.backend,
      policy: request.policy,
      reason: request.reason,
      cache_status: request.cache_status,
      attempts: attempts > 1 ? attempts : undefined,
      stream: request.stream,
      duration_ms: tenths(request.duration_ms),
      total_ms: tenths(request.total_ms),
      ttft_ms: tenths(request.ttft_ms),
      queue_ms: request.queue_ms > 0 ? tenths(request.queue_ms) : undefined,
      wait_ms: tenths(request.wait_ms),
      hooks: request.hooks_ran?.join(','),
      hooks_ms: tenths(request.hooks_ms),
      prompt_tokens: request.prompt_tokens,
      completion_tokens: request.completion_tokens,
      tokens_estimated: request.tokens_estimated,
      predicted_cached_tokens: request.predicted_cached_tokens,
      actual_cached_tokens: request.actual_cached_tokens,
      request_bytes: request.request_bytes,
      response_bytes: request.response_bytes,
    },
  };
}

/** How often it was tried: the two legs of a pair are one. */
function triesOf({ attempts }: FinishedRequest): number {
  return attempts.filter(({ role }, index) => role !== 'decode' || attempts[index - 1]?.role !== 'prefill')
    .length;
}

/** What happened, in the words of the log: `ok` is said of good answers only. */
function ending({ status, outcome, error, attempts }: FinishedRequest): string {
  if (outcome !== 'ok') {
    const isNews = error !== undefined && outcome !== 'client_abort';
    return isNews ? ` ${outcome}: ${error}` : ` ${outcome}`;
  }
  if (status < 400) return ' ok';
  return attempts.length > 0 ? ' from the worker' : '';
}

/** An answer that a worker broke after a good head is an error too, although its status says 200. */
function levelOf(request: FinishedRequest): AccessLine['level'] {
  // The router's own answer, e.g. a health check that says 503: polled, and no failure of a request.
  if (request.attempts.length === 0 && request.error === undefined) return 'info';
  if (request.status >= 500 || request.outcome === 'worker_broken') return 'error';
  return request.status >= 400 ? 'warn' : 'info';
}

function cut(name: string | undefined): string | undefined {
  return name !== undefined && name.length > MAX_NAME ? name.slice(0, MAX_NAME) + '...' : name;
}

function tenths(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : Math.round(ms * 10) / 10;
}
