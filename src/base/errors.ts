/* eslint max-lines: off -- one table of data */
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
    | 'authentication_error'
    | 'permission_error';
  readonly meaning: string;
}

export const ERRORS = {
  invalid_json: {
    status: 400,
    source: 'client',
    retryable: false,
    type: 'invalid_request_error',
    meaning:
      'The body of an inference request is not valid JSON, or not a JSON object. Refused and passed on as duplicate_field is.',
  },
  kv_transfer_params_refused: {
    status: 400,
    source: 'client',
    retryable: false,
    type: 'invalid_request_error',
    meaning:
      "The request says by itself how KV blocks are handed over (kv_transfer_params, SGLang's bootstrap fields, headers of a prefill/decode sidecar), and pd.client_params is refuse. Only where there are prefill workers.",
  },
  invalid_encoding: {
    status: 400,
    source: 'client',
    retryable: false,
    type: 'invalid_request_error',
    meaning:
      'The body is not what its `Content-Encoding` says: corrupt, cut off, or with something behind its end.',
  },
  unsupported_encoding: {
    status: 415,
    source: 'client',
    retryable: false,
    type: 'invalid_request_error',
    meaning:
      'The body must be read, and its `Content-Encoding` is none of gzip, deflate, br and zstd, or names more than two.',
  },
  duplicate_field: {
    status: 400,
    source: 'client',
    retryable: false,
    type: 'invalid_request_error',
    meaning:
      'The body names model or stream twice. Refused where model rules, tenants or hooks are configured, and by a gateway of several models: what is judged and what a worker reads could be two things. Passed on elsewhere.',
  },
  ambiguous_form: {
    status: 400,
    source: 'client',
    retryable: false,
    type: 'invalid_request_error',
    meaning:
      'The body is a form that parsers read differently: a part without one plain name, an odd boundary, a part that does not end. Refused and passed on as duplicate_field is.',
  },
  invalid_request: {
    status: 400,
    source: 'client',
    retryable: false,
    type: 'invalid_request_error',
    meaning:
      'The request is not valid HTTP (framing, target, `Host`), or a field the router must read has the wrong type.',
  },
  expectation_failed: {
    status: 417,
    source: 'client',
    retryable: false,
    type: 'invalid_request_error',
    meaning: '`Expect` asks for something else than `100-continue`.',
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
    meaning: 'The router answers this path itself, but not with this method; `TRACE` is offered on no path.',
  },
  untranslatable: {
    status: 400,
    source: 'client',
    retryable: false,
    type: 'invalid_request_error',
    meaning:
      "A request of Anthropic's API goes to a worker that knows OpenAI's alone, and something in it cannot be said there. The message begins with the field.",
  },
  model_not_found: {
    status: 404,
    source: 'client',
    retryable: false,
    type: 'not_found_error',
    meaning:
      'No worker lists the model and unknown_model is set to reject. The message names the nearest model that the caller may use.',
  },
  hook_rejected: {
    status: 403,
    source: 'client',
    retryable: false,
    type: 'invalid_request_error',
    meaning:
      "A pre-routing hook rejected the request (on_reject: block403). The message is the hook's reason.",
  },
  hook_rejected_400: {
    status: 400,
    source: 'client',
    retryable: false,
    type: 'invalid_request_error',
    meaning:
      "A pre-routing hook rejected the request (on_reject: block400). The message is the hook's reason.",
  },
  hook_cannot_inspect: {
    status: 403,
    source: 'client',
    retryable: false,
    type: 'invalid_request_error',
    meaning:
      'A WebSocket tunnel, which pre-routing hooks cannot look into; a hook lets it through with tunnels: pass.',
  },
  hook_bad_transform: {
    status: 400,
    source: 'router',
    retryable: false,
    type: 'invalid_request_error',
    meaning: 'The body that a pre-routing hook put in place is not a JSON object that the route can take.',
  },
  missing_api_key: {
    status: 401,
    source: 'client',
    retryable: false,
    type: 'authentication_error',
    meaning: 'Keys are checked and the request brings none.',
  },
  invalid_api_key: {
    status: 401,
    source: 'client',
    retryable: false,
    type: 'authentication_error',
    meaning: 'The key is not known, or every service of api_key_validation_urls refuses it.',
  },
  client_certificate_refused: {
    status: 403,
    source: 'client',
    retryable: false,
    type: 'permission_error',
    meaning:
      'The client presented no certificate where ssl_cert_reqs is required, or one that ssl_ca_certs does not vouch for. The connection is closed.',
  },
  key_disabled: {
    status: 403,
    source: 'client',
    retryable: false,
    type: 'permission_error',
    meaning: 'The tenant that the key belongs to has enabled: false.',
  },
  key_validation_unavailable: {
    status: 503,
    source: 'router',
    retryable: false,
    type: 'service_unavailable',
    meaning:
      'No service of api_key_validation_urls accepts the key, and at least one of them did not say. Nothing is remembered of it.',
  },
  model_not_allowed: {
    status: 403,
    source: 'client',
    retryable: false,
    type: 'permission_error',
    meaning:
      "The model is not among the tenant's allowed_models: as it was asked for, or the one behind that name. Also for requests without a model that could reach such a one.",
  },
  external_not_allowed: {
    status: 403,
    source: 'client',
    retryable: false,
    type: 'permission_error',
    meaning:
      'Only an external backend serves the model, or everything, and the tenant has no allow_external.',
  },
  external_field_refused: {
    status: 400,
    source: 'client',
    retryable: false,
    type: 'invalid_request_error',
    meaning:
      'The request goes to an external backend that has unsupported_fields: reject, and has fields that only vLLM knows; the message names them.',
  },
  external_refused: {
    status: 502,
    source: 'router',
    retryable: false,
    type: 'server_error',
    meaning:
      'The external backend refuses the router (401, 402, 403: its key, or its account), or answers with a redirect, which is never followed.',
  },
  response_not_found: {
    status: 404,
    source: 'client',
    retryable: false,
    type: 'not_found_error',
    meaning: 'The stored response was made by another tenant; to the caller it does not exist.',
  },
  rate_limit_exceeded: {
    status: 429,
    source: 'client',
    retryable: false,
    type: 'rate_limit_error',
    meaning: "The tenant's requests come faster than its rate_limit_rps.",
  },
  concurrency_exceeded: {
    status: 429,
    source: 'client',
    retryable: false,
    type: 'rate_limit_error',
    meaning: 'The tenant has max_concurrent requests inside the router, waiting ones included.',
  },
  tokens_exceeded: {
    status: 429,
    source: 'client',
    retryable: false,
    type: 'rate_limit_error',
    meaning:
      "The tenant's tokens_per_minute are spent, or reserved by its requests under way; or the request alone may take more than that.",
  },
  untrusted_chat_template: {
    status: 400,
    source: 'client',
    retryable: false,
    type: 'invalid_request_error',
    meaning:
      'A chat brings a template of its own, and trust_request_chat_template is not set. vLLM refuses it in the same way unless it was started with that option.',
  },
  model_required: {
    status: 400,
    source: 'client',
    retryable: false,
    type: 'invalid_request_error',
    meaning: 'The request names no model, and with enable_igw there is not just one that it could mean.',
  },
  payload_too_large: {
    status: 413,
    source: 'client',
    retryable: false,
    type: 'invalid_request_error',
    meaning:
      'The body is larger than max_payload_size, or, decoded, than 16 MiB and a hundred times what was sent.',
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
    meaning:
      'max_concurrent_requests are in flight and queue_size requests are waiting already. Also for a request that waited, when its place went to one of a higher priority class or of a tenant with fewer waiting.',
  },
  router_rate_exceeded: {
    status: 429,
    source: 'router',
    retryable: false,
    type: 'rate_limit_error',
    meaning:
      'More requests come than rate_limit_tokens_per_second lets in, and queue_size requests are waiting already. max_concurrent_requests has nothing to do with it.',
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
  out_of_sockets: {
    status: 503,
    source: 'router',
    retryable: false,
    type: 'service_unavailable',
    meaning:
      'The router itself may open no further connection: file descriptors (ulimit -n), local ports or buffers of the system are used up. Never counted against a worker.',
  },
  no_worker_available: {
    status: 503,
    source: 'router',
    retryable: false,
    type: 'service_unavailable',
    meaning:
      'No worker for the model can take the request: none registered, or all unhealthy, draining or already tried.',
  },
  no_worker_matches: {
    status: 503,
    source: 'router',
    retryable: false,
    type: 'service_unavailable',
    meaning:
      'No worker for the model has the priority that x-worker-priority asks for, or a cost that x-max-cost allows, whatever its state.',
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
  hook_failed: {
    status: 502,
    source: 'router',
    retryable: false,
    type: 'server_error',
    meaning:
      'A pre-routing hook with on_error: block could not be asked or gave no valid answer, or its circuit is open.',
  },
  hook_timeout: {
    status: 502,
    source: 'router',
    retryable: false,
    type: 'server_error',
    meaning: 'A pre-routing hook with on_error: block did not answer within its timeout_ms.',
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
  worker_error_event: {
    status: 502,
    source: 'worker',
    retryable: false,
    type: 'server_error',
    meaning:
      'The worker said in an event of its stream that the answer failed, as vLLM does when its engine dies. The client has got that event as it came; the code stands in records and metrics.',
  },
  prefill_bad_answer: {
    status: 502,
    source: 'worker',
    retryable: true,
    type: 'server_error',
    meaning:
      'The prefill worker answered with something that no decode worker can go on from: garbage, an error with status 200, an answer that is too long.',
  },
  handover_failed: {
    status: 502,
    source: 'worker',
    retryable: true,
    type: 'server_error',
    meaning:
      'The prompt was computed, but its KV blocks did not get to the decode worker: the prefill worker kept none, or they could not be fetched.',
  },
  worker_bad_response: {
    status: 502,
    source: 'worker',
    retryable: true,
    type: 'server_error',
    meaning:
      'What the worker sent is not a valid HTTP response, lies about its length, or is no answer to the chat that a message was translated into.',
  },
} as const satisfies Record<string, ErrorSpec>;

export type ErrorCode = keyof typeof ERRORS;

export class RouterError extends Error {
  override readonly name = 'RouterError';
  readonly code: ErrorCode;
  /** Seconds for `Retry-After`, where the router knows a better number than 1. */
  readonly retryAfterSecs: number | undefined;
  /** The field of the request that is to blame: OpenAI's `error.param`. */
  readonly param: string | undefined;
  /** Further headers of the answer, a flat list of names and values. */
  readonly headers: readonly string[];

  constructor(
    code: ErrorCode,
    message: string,
    options: { cause?: unknown; retryAfterSecs?: number; param?: string; headers?: readonly string[] } = {},
  ) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.code = code;
    this.retryAfterSecs = options.retryAfterSecs;
    this.param = options.param;
    this.headers = options.headers ?? [];
  }

  get spec(): ErrorSpec {
    return ERRORS[this.code];
  }
}

/** Statuses that carry `Retry-After` when the router makes them. */
export function needsRetryAfter(status: number): boolean {
  return status === 408 || status === 429 || status === 503;
}
