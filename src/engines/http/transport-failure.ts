import type { ErrorCode } from '../../base/errors.ts';
import type { TransportFailure } from '../client.ts';

const CONNECT_CODES = new Set([
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ENOENT',
  'EACCES',
  'EADDRNOTAVAIL',
  'ENETDOWN',
  'EHOSTDOWN',
]);

/** Node and undici error to a code of the catalogue. `sent` = the request had been written to a connection. */
export function toFailure(error: Error, sent: boolean): TransportFailure {
  return { code: codeOf(error, sent), message: describe(error), sent };
}

function codeOf(error: Error, sent: boolean): ErrorCode {
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  // What no HTTP client would send, e.g. a control character in a header: the request itself is at fault.
  if (code === 'UND_ERR_INVALID_ARG' || code === 'UND_ERR_NOT_SUPPORTED') return 'invalid_request';
  if (code === 'UND_ERR_CONNECT_TIMEOUT' || (code === 'ETIMEDOUT' && !sent)) return 'connect_timeout';
  if (
    code.startsWith('HPE_') ||
    code === 'UND_ERR_HEADERS_OVERFLOW' ||
    code === 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH'
  ) {
    return 'worker_bad_response';
  }
  if (error.message === 'bad response' || error.message === 'bad upgrade') return 'worker_bad_response';
  if (CONNECT_CODES.has(code) || !sent) return 'connect_failed';
  return 'worker_closed';
}

/** Aggregate errors (several addresses tried) have no message of their own. */
function describe(error: Error): string {
  if (error instanceof AggregateError && error.errors[0] instanceof Error) return error.errors[0].message;
  return error.message || error.name;
}
