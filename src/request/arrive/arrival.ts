import { randomAlphanumeric } from '../../base/ids.ts';
import { isoTime } from '../../base/iso-time.ts';
import type { EdgeRequest } from '../../http/edge-request.ts';
import type { EdgeResponse } from '../../http/edge-response.ts';
import { headerOf } from '../../http/headers.ts';
import { normalisePath, originForm, pathOf } from '../../http/normalise-path.ts';
import type { Tunnel } from '../../http/tunnel.ts';
import type { Tenant } from '../../limits/tenant.ts';
import type { AnswerCopy } from '../cache/answer-copy.ts';
import type { OpenDecision, RecordedPrompt } from '../record/decision.ts';
import { canonicalTarget, matchEndpoint, type Endpoint, type Match } from './endpoints.ts';
import type { Runtime } from '../runtime.ts';

/** A request as it stands when its head has been read. */
export interface Arrival {
  readonly req: EdgeRequest;
  readonly res: EdgeResponse;
  readonly method: string;
  /** What the worker gets, query included: as the client sent it, but a path of the table in the table's spelling. */
  readonly target: string;
  readonly match: Match;
  readonly endpoint: Endpoint;
  readonly requestId: string;
  /** Whether the client brought the id. */
  readonly idFromClient: boolean;
  /** Monotonic ms. */
  readonly startedAt: number;
  readonly decision: OpenDecision;
  /** What the decision log keeps of the prompt, where there is one. */
  recordedPrompt: RecordedPrompt | undefined;
  /** Whose limits the request counts against; entered by `authenticate`. */
  tenant: Tenant | undefined;
  readonly client: ClientWatch;
  /** Set for a WebSocket handshake. */
  readonly tunnel: Tunnel | undefined;
  /** Moments along the path, monotonic ms; 0 = not reached. */
  readonly times: {
    bodyRead: number;
    dispatched: number;
    head: number;
    hooksMs: number;
    prepareMs: number;
    tokensMs: number;
    /** Looking for a stored answer, and waiting for somebody else's. */
    cacheMs: number;
    queueMs: number;
    backoffMs: number;
    /** Waiting for a worker that can take the request. */
    waitMs: number;
    /** Spent with workers whose answers were given up for another attempt. */
    givenUpMs: number;
  };
  /** The body was decoded: `Content-Encoding` no longer says what it is. */
  bodyDecoded: boolean;
  /** Where the answer is to be kept for others who ask the same. */
  copy: AnswerCopy | undefined;
  /** What must be given back when the request ends, whatever its end. */
  readonly releases: (() => void)[];
}

export function identify(
  rt: Runtime,
  req: EdgeRequest,
  res: EdgeResponse,
  tunnel: Arrival['tunnel'],
): Arrival {
  const { method } = req;
  const written = originForm(req.url);
  const path = normalisePath(pathOf(written));
  const match = matchEndpoint(method, path);
  const target = canonicalTarget(match, path, written);
  const given = clientRequestId(rt.settings.requestIdHeaders, req.rawHeaders);
  // Without `chatcmpl-` and the like: engines put those before it, and would say `chatcmpl-chatcmpl-...`.
  const requestId = given ?? `req-${randomAlphanumeric(24)}`;
  return {
    req,
    res,
    method,
    target,
    match,
    requestId,
    tunnel,
    recordedPrompt: undefined,
    copy: undefined,
    bodyDecoded: false,
    tenant: undefined,
    endpoint: match.endpoint,
    idFromClient: given !== undefined,
    startedAt: rt.clock.now(),
    decision: newDecision(rt, requestId, method, match.endpoint.route),
    times: {
      bodyRead: 0,
      dispatched: 0,
      head: 0,
      hooksMs: 0,
      prepareMs: 0,
      tokensMs: 0,
      cacheMs: 0,
      queueMs: 0,
      backoffMs: 0,
      waitMs: 0,
      givenUpMs: 0,
    },
    releases: [],
    client: new ClientWatch(res),
  };
}

/** Notices that the client is gone, at whatever step the request is waiting. */
export class ClientWatch {
  #gone = false;
  #callback: (() => void) | undefined;

  constructor(res: EdgeResponse) {
    res.onClosed(() => {
      this.#gone = res.aborted;
      if (this.#gone) this.#callback?.();
    });
  }

  get gone(): boolean {
    return this.#gone;
  }

  /** Whom to tell; the step that waits now, or nobody. Told at once when it is too late already. */
  onGone(callback: (() => void) | undefined): void {
    this.#callback = callback;
    if (this.#gone) callback?.();
  }
}

function newDecision(rt: Runtime, requestId: string, method: string, route: string): OpenDecision {
  return {
    schema_version: 5,
    timestamp: isoTime(rt.clock.wall()),
    request_id: requestId,
    http_method: method,
    route,
    status: 0,
    outcome: 'ok',
    stream: false,
    attempts: [],
    queue_ms: 0,
    duration_ms: 0,
    total_ms: 0,
    request_bytes: 0,
    response_bytes: 0,
  };
}

function clientRequestId(names: readonly string[], headers: readonly string[]): string | undefined {
  for (const name of names) {
    const value = headerOf(headers, name);
    if (value) return value;
  }
  return undefined;
}
