import type { ErrorCode } from '../../base/errors.ts';
import { isShortage } from '../../base/shortage.ts';
import type { TransportFailure } from '../client.ts';
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
export type Peer = 'worker' | 'hook';

/** Node and undici error to a code of the catalogue. `sent` = the request had been written to a connection. */
export function toFailure(error: Error, sent: boolean, peer: Peer = 'worker'): TransportFailure {
  const code = codeOf(error, sent);
  const words = WORDS[code]?.replace('worker', peer);
  const reason = reasonOf(error);
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
  // What no HTTP client would send, e.g. a control character in a header: the request itself is at fault.
  if (code === 'UND_ERR_INVALID_ARG' || code === 'UND_ERR_NOT_SUPPORTED') return 'invalid_request';
  if (isShortage(error)) return 'out_of_sockets';
  if (code === 'UND_ERR_CONNECT_TIMEOUT' || (code === 'ETIMEDOUT' && !sent)) return 'connect_timeout';
  if (
    // undici's parser error has no code where llhttp's number has no name.
    error.name === 'HTTPParserError' ||
    code === 'UND_ERR_HEADERS_OVERFLOW' ||
    code === 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH'
  ) {
    return 'worker_bad_response';
  }
  if (error.message === 'bad response' || error.message === 'bad upgrade') return 'worker_bad_response';
  // With TLS 1.3 a worker looks at the router's certificate when the request is already on its way.
  if (CONNECT_CODES.has(code) || !sent || tlsReason(code) !== undefined) return 'connect_failed';
  return 'worker_closed';
}

/** Node's or undici's code, which an aggregate error (several addresses tried) has from its first. */
function reasonOf(error: Error): string {
  const first: unknown = error instanceof AggregateError ? error.errors[0] : error;
  if (first instanceof Error && 'code' in first && typeof first.code === 'string') return first.code;
  return error.name;
}
