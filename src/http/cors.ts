import { EXPOSED_HEADERS } from './exposed-headers.ts';

const ALLOWED_METHODS = 'GET, POST, PUT, PATCH, DELETE, OPTIONS';
const MAX_AGE_SECS = '3600';

/** Headers of an actual cross-origin response. No configured origins = any origin. */
export function corsHeaders(allowedOrigins: readonly string[], origin: string): string[] {
  const allow = allowedOrigin(allowedOrigins, origin);
  if (allow === undefined) return [];
  const headers = [
    'access-control-allow-origin',
    allow,
    'access-control-expose-headers',
    EXPOSED_HEADERS.join(', '),
  ];
  if (allow !== '*') headers.push('vary', 'origin');
  return headers;
}

/** What the answer to a preflight request carries beside `corsHeaders`; nothing for an origin that is not allowed. */
export function preflightHeaders(
  allowedOrigins: readonly string[],
  origin: string,
  requestedHeaders: string | undefined,
): string[] {
  if (allowedOrigin(allowedOrigins, origin) === undefined) return [];
  return [
    'access-control-allow-methods',
    ALLOWED_METHODS,
    'access-control-allow-headers',
    requestedHeaders ?? 'content-type, authorization',
    'access-control-max-age',
    MAX_AGE_SECS,
  ];
}

function allowedOrigin(allowedOrigins: readonly string[], origin: string): string | undefined {
  if (allowedOrigins.length === 0 || allowedOrigins.includes('*')) return '*';
  return allowedOrigins.includes(origin) ? origin : undefined;
}
