/**
 * The closed catalogue of errors that the router itself makes. A code is stable: clients, alerts and the decision
 * log may depend on it. `docs/reference/errors.md` is generated from this table.
 */
export interface ErrorSpec {
  /** HTTP status sent when nothing has reached the client yet. */
  readonly status: number;
  /** Whose doing it is. */
  readonly source: 'client' | 'router' | 'worker';
  /** Whether another attempt, on another worker, could help. */
  readonly retryable: boolean;
  /** OpenAI's `error.type`. */
  readonly type:
    | 'invalid_request_error'
    | 'not_found_error'
    | 'rate_limit_error'
    | 'service_unavailable'
    | 'server_error'
    | 'timeout_error'
    | 'authentication_error';
  readonly meaning: string;
}

export const ERRORS = {
  invalid_json: {
    status: 400,
    source: 'client',
    retryable: false,
    type: 'invalid_request_error',
    meaning: 'The body of an inference request is not valid JSON, or not a JSON object.',
  },
  invalid_request: {
    status: 400,
    source: 'client',
    retryable: false,
    type: 'invalid_request_error',
    meaning: 'The request is not valid HTTP, or a field the router must read has the wrong type.',
  },
  route_not_found: {
    status: 404,
    source: 'client',
    retryable: false,
    type: 'not_found_error',
    meaning:
      'The route is not offered here; operator routes of workers are hidden unless the admin key is presented or proxy_operator_routes is set.',
  },
  method_not_allowed: {
    status: 405,
    source: 'client',
    retryable: false,
    type: 'invalid_request_error',
    meaning: 'The router answers this path itself, but not with this method.',
  },
  model_not_found: {
    status: 404,
    source: 'client',
    retryable: false,
    type: 'not_found_error',
    meaning: 'No worker lists the model and unknown_model is set to reject.',
  },
  payload_too_large: {
    status: 413,
    source: 'client',
    retryable: false,
    type: 'invalid_request_error',
    meaning: 'The body is larger than max_payload_size.',
  },
  headers_too_large: {
    status: 431,
    source: 'client',
    retryable: false,
    type: 'invalid_request_error',
    meaning: 'The request head is larger than max_header_size.',
  },
  body_timeout: {
    status: 408,
    source: 'client',
    retryable: false,
    type: 'timeout_error',
    meaning: 'The request head or body arrived too slowly (header_timeout_secs, body_idle_timeout_secs).',
  },
  client_closed: {
    status: 499,
    source: 'client',
    retryable: false,
    type: 'invalid_request_error',
    meaning:
      'The client left before the response began. Never sent; found in logs, metrics and decision records.',
  },
  queue_full: {
    status: 429,
    source: 'router',
    retryable: false,
    type: 'rate_limit_error',
    meaning: 'max_concurrent_requests are in flight and queue_size requests are waiting already.',
  },
  queue_timeout: {
    status: 408,
    source: 'router',
    retryable: false,
    type: 'timeout_error',
    meaning: 'The request waited queue_timeout_secs without getting its turn.',
  },
  inflight_bytes_exceeded: {
    status: 503,
    source: 'router',
    retryable: false,
    type: 'service_unavailable',
    meaning: 'The bodies held by requests in flight reach max_inflight_body_bytes.',
  },
  no_worker_available: {
    status: 503,
    source: 'router',
    retryable: false,
    type: 'service_unavailable',
    meaning:
      'No worker for the model can take the request: none registered, or all unhealthy, draining or already tried.',
  },
  worker_removed: {
    status: 503,
    source: 'router',
    retryable: true,
    type: 'service_unavailable',
    meaning: 'The worker was drained, and the request had not ended there when the time for that was up.',
  },
  shutting_down: {
    status: 503,
    source: 'router',
    retryable: false,
    type: 'service_unavailable',
    meaning: 'The router is shutting down.',
  },
  deadline_exceeded: {
    status: 504,
    source: 'router',
    retryable: false,
    type: 'timeout_error',
    meaning:
      'request_timeout_secs passed before the response began (queue, backoff and all attempts together).',
  },
  internal: {
    status: 500,
    source: 'router',
    retryable: false,
    type: 'server_error',
    meaning: 'A fault in the router. The log has the stack under the same request id.',
  },
  connect_failed: {
    status: 502,
    source: 'worker',
    retryable: true,
    type: 'server_error',
    meaning: 'No connection to the worker could be made.',
  },
  connect_timeout: {
    status: 504,
    source: 'worker',
    retryable: true,
    type: 'timeout_error',
    meaning: 'connect_timeout_secs passed without a connection to the worker.',
  },
  first_token_timeout: {
    status: 504,
    source: 'worker',
    retryable: true,
    type: 'timeout_error',
    meaning: "first_token_timeout_secs passed without the first byte of the worker's body.",
  },
  stream_idle_timeout: {
    status: 504,
    source: 'worker',
    retryable: false,
    type: 'timeout_error',
    meaning: 'The worker sent nothing for stream_idle_timeout_secs after its first event.',
  },
  worker_closed: {
    status: 502,
    source: 'worker',
    retryable: true,
    type: 'server_error',
    meaning: 'The worker closed or reset the connection before its response was complete.',
  },
  worker_bad_response: {
    status: 502,
    source: 'worker',
    retryable: true,
    type: 'server_error',
    meaning: 'What the worker sent is not a valid HTTP response, or lies about its length.',
  },
} as const satisfies Record<string, ErrorSpec>;

export type ErrorCode = keyof typeof ERRORS;

export class RouterError extends Error {
  override readonly name = 'RouterError';
  readonly code: ErrorCode;
  /** Seconds for `Retry-After`, where the router knows a better number than 1. */
  readonly retryAfterSecs: number | undefined;

  constructor(code: ErrorCode, message: string, options: { cause?: unknown; retryAfterSecs?: number } = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.code = code;
    this.retryAfterSecs = options.retryAfterSecs;
  }

  get spec(): ErrorSpec {
    return ERRORS[this.code];
  }
}

/** Statuses that carry `Retry-After` when the router makes them. */
export function needsRetryAfter(status: number): boolean {
  return status === 408 || status === 429 || status === 503;
}
