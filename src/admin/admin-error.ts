/**
 * Errors of the worker and admin routes: `{"error": text, "code": code}`, the shape of the reference routers' worker
 * API. Clients of inference routes never see them.
 */
export const ADMIN_ERRORS = {
  INVALID_REQUEST: {
    status: 400,
    meaning: 'A field is wrong, missing or unknown; `fields` has the path of each.',
  },
  ADD_WORKER_FAILED: { status: 400, meaning: '`POST /add_worker`: the worker could not be registered.' },
  RELOAD_REFUSED: {
    status: 400,
    meaning:
      'The configuration that was read is not valid, or the router was started without a file; nothing has changed. `problems` has the place of each.',
  },
  UNAUTHORIZED: { status: 401, meaning: 'The admin key is missing or wrong.' },
  FORBIDDEN: {
    status: 403,
    meaning: 'No admin key is configured and the request does not plainly come from this machine.',
  },
  NOT_FOUND: { status: 404, meaning: 'There is no such route, or no worker lists the model.' },
  WORKER_NOT_FOUND: { status: 404, meaning: 'No worker has that URL, and none is being registered.' },
  TENANT_NOT_FOUND: { status: 404, meaning: 'No tenant has that name.' },
  METHOD_NOT_ALLOWED: {
    status: 405,
    meaning: 'The route does not offer this method; `Allow` has those it does.',
  },
  BODY_TIMEOUT: { status: 408, meaning: 'The body arrived too slowly.' },
  WORKER_CONFLICT: {
    status: 409,
    meaning: 'The worker is known with other settings, or in another form (ranks).',
  },
  PAYLOAD_TOO_LARGE: { status: 413, meaning: 'The body is larger than 8 MiB.' },
  UNSUPPORTED_ENCODING: {
    status: 415,
    meaning: 'The `Content-Encoding` is none of gzip, deflate, br and zstd, or names more than two.',
  },
  INTERNAL: { status: 500, meaning: 'A fault in the router; the log has the stack.' },
  RELOAD_FAILED: { status: 500, meaning: 'The configuration could not be read; nothing has changed.' },
  WORKER_UNREACHABLE: { status: 502, meaning: 'The worker did not answer.' },
  FLUSH_INCOMPLETE: {
    status: 503,
    meaning:
      'Redis or Valkey is away, or broke off: answers may be left there. `flushed` are gone; ask again once it answers.',
  },
  QUEUE_FULL: { status: 503, meaning: 'Too many jobs are open, or the router is stopping.' },
} as const;

export type AdminErrorCode = keyof typeof ADMIN_ERRORS;

/** What is wrong with one field of a request. */
export interface FieldProblem {
  /** `labels.tier`, `query.limit`; empty for the body as a whole. */
  readonly path: string;
  readonly message: string;
}

export class AdminError extends Error {
  override readonly name = 'AdminError';
  readonly code: AdminErrorCode;
  /** Further members of the answer. */
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: AdminErrorCode, message: string, details: Readonly<Record<string, unknown>> = {}) {
    super(message);
    this.code = code;
    this.details = details;
  }

  get status(): number {
    return ADMIN_ERRORS[this.code].status;
  }
}
