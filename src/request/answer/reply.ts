import { STATUS_CODES } from 'node:http';
import { needsRetryAfter, RouterError } from '../../base/errors.ts';
import { errorBody } from '../../api/error-body.ts';
import type { Arrival } from '../arrive/arrival.ts';
import { addRouterHeaders, corsOf } from './response-headers.ts';
import type { Runtime } from '../runtime.ts';

export interface LocalAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
  readonly headers?: readonly string[];
  /** For statuses that ask for another try; 1 unless given. */
  readonly retryAfterSecs?: number;
}

/** Sends an answer of the router's own. Resolves when it has left, or the client has. */
export function reply(rt: Runtime, arrival: Arrival, answer: LocalAnswer): Promise<void> {
  const { res, decision } = arrival;
  if (arrival.client.gone || res.closed) return Promise.resolve();
  decision.status = answer.status;
  arrival.times.head = rt.clock.now();
  const length = Buffer.byteLength(answer.body);
  // A 204 has no body, and so neither type nor length (RFC 9110 8.6).
  const entity = ['content-type', answer.contentType, 'content-length', String(length)];
  const headers = [
    ...(answer.status === 204 ? [] : entity),
    ...(needsRetryAfter(answer.status) ? ['retry-after', String(answer.retryAfterSecs ?? 1)] : []),
    ...(answer.headers ?? []),
    ...corsOf(rt, arrival),
  ];
  addRouterHeaders(rt, arrival, headers, arrival.times.head);
  if (arrival.tunnel) headers.push('connection', 'close');
  decision.response_bytes = length;
  return new Promise((resolve) => {
    res.onClosed(resolve);
    res.writeHead(answer.status, STATUS_CODES[answer.status] ?? '', headers);
    res.end(answer.body);
  });
}

/** Answers with an error in the caller's dialect, or, once the head is out, breaks the connection visibly. */
export async function replyError(rt: Runtime, arrival: Arrival, thrown: unknown): Promise<void> {
  const error = thrown instanceof RouterError ? thrown : unexpected(rt, arrival, thrown);
  const { decision, res } = arrival;
  decision.error = error.code;
  decision.outcome = outcomeOf(error);
  if (error.code === 'client_closed') {
    decision.status = res.headersSent ? decision.status : error.spec.status;
    res.destroy();
    return;
  }
  if (res.headersSent) {
    res.destroy();
    return;
  }
  const { status } = error.spec;
  await reply(rt, arrival, {
    status,
    contentType: 'application/json',
    body: errorBody(arrival.endpoint.dialect, error),
    headers: arrival.match.kind === 'wrong_method' ? ['allow', arrival.match.allow] : error.headers,
    ...(error.retryAfterSecs === undefined ? {} : { retryAfterSecs: error.retryAfterSecs }),
  });
}

function unexpected(rt: Runtime, arrival: Arrival, thrown: unknown): RouterError {
  rt.log.error({ request_id: arrival.requestId, err: thrown }, 'unexpected error in the request path');
  return new RouterError(
    'internal',
    `internal error; see the router's log for request ${arrival.requestId}`,
    { cause: thrown },
  );
}

function outcomeOf(error: RouterError): Arrival['decision']['outcome'] {
  if (error.code === 'client_closed') return 'client_abort';
  if (error.spec.source === 'worker') return 'worker_broken';
  return error.code === 'internal' ||
    error.code === 'deadline_exceeded' ||
    error.code === 'hook_failed' ||
    error.code === 'hook_timeout' ||
    error.code === 'no_worker_available' ||
    error.code === 'worker_removed'
    ? 'router_error'
    : 'rejected';
}
