import type { IncomingHttpHeaders } from 'node:http';
import { bearer } from './admin-key.ts';

/**
 * The key that a client presents: the bearer token of `Authorization`, else `X-Router-Key`, else `x-api-key`. Undefined
 * where there is none. The first that is there is the one that counts.
 */
export function presentedKey(headers: IncomingHttpHeaders): string | undefined {
  return bearer(headers.authorization) ?? filled(headers['x-router-key']) ?? filled(headers['x-api-key']);
}

function filled(value: string | string[] | undefined): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}
