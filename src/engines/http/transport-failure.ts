import type { ErrorCode } from '../../base/errors.ts';
import { isShortage } from '../../base/shortage.ts';
import type { TransportFailure } from '../client.ts';
import { ConnectTimeout } from './connect-timeout.ts';
import { BadRequest } from './request-head.ts';
import { BadResponse } from '../../http1/response-parser.ts';
import { tlsReason } from './worker-tls.ts';

const CONNECT_CODES = new Set([
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ENOENT',
  'EACCES',
  'ENETDOWN',
  'EHOSTDOWN',
]);

/** Who is asked, as messages call it. */
export type Peer = 'worker' | 'hook' | 'controller' | 'embedder' | 'external backend';

/** What went wrong, as a code of the catalogue. `sent` = the request had been written to a connection. */
export function toFailure(error: Error, sent: boolean, peer: Peer = 'worker'): TransportFailure {
  if (error instanceof BadRequest) return { code: 'invalid_request', message: error.message, sent };
  if (error instanceof ConnectTimeout) return { code: 'connect_timeout', message: error.message, sent };
  const code = error instanceof BadResponse ? 'worker_bad_response' : codeOf(error, sent);
  const words = WORDS[code]?.replace('worker', peer);
  const reason = error instanceof BadResponse ? error.message : reasonOf(error);
  const tls = tlsReason(reason);
  const shown = tls === undefined ? reason : `${tls}: ${reason}`;
  const message = words === undefined ? error.message : `${words} (${shown})`;
  return { code, message, sent };
}

/** What clients read. Node's own messages would tell them the worker's address. */
const WORDS: Partial<Readonly<Record<ErrorCode, string>>> = {
  out_of_sockets: 'the router itself may open no further connection',
  connect_failed: 'no connection to the worker could be made',
  connect_timeout: 'no connection to the worker could be made in time',
  worker_closed: 'the worker closed the connection before its answer was complete',
  worker_bad_response: 'what the worker sent is not a valid HTTP response',
};

function codeOf(error: Error, sent: boolean): ErrorCode {
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  if (isShortage(error)) return 'out_of_sockets';
  if (code === 'ETIMEDOUT' && !sent) return 'connect_timeout';
  // With TLS 1.3 a worker looks at the router's certificate when the request is already on its way.
  if (CONNECT_CODES.has(code) || !sent || tlsReason(code) !== undefined) return 'connect_failed';
  return 'worker_closed';
}

/** The code, which an aggregate error (several addresses tried) has from its first. */
function reasonOf(error: Error): string {
  const first: unknown = error instanceof AggregateError ? error.errors[0] : error;
  if (first instanceof Error && 'code' in first && typeof first.code === 'string') return first.code;
  return error.name;
}
