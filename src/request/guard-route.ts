import { createHash, timingSafeEqual } from 'node:crypto';
import { RouterError } from '../base/errors.ts';
import { preflightHeaders } from '../http/cors.ts';
import type { Arrival } from './arrival.ts';
import { reply } from './reply.ts';
import type { Runtime } from './runtime.ts';

/** Hides what is not for clients. Throws `route_not_found`, `method_not_allowed` or `invalid_request`. */
export function guardRoute(rt: Runtime, arrival: Arrival): void {
  const { match, method, endpoint } = arrival;
  if (match.kind === 'wrong_method')
    throw new RouterError('method_not_allowed', `${method} is not offered on ${endpoint.route}`);
  if (match.kind === 'outside') throw new RouterError('invalid_request', 'the path leads out of its root');
  if (match.kind === 'reserved') throw new RouterError('route_not_found', 'no such route');
  if (endpoint.class !== 'operator' || rt.settings.proxyOperatorRoutes || hasAdminKey(rt, arrival)) return;
  throw new RouterError('route_not_found', 'no such route');
}

function hasAdminKey(rt: Runtime, arrival: Arrival): boolean {
  const expected = rt.settings.adminApiKey;
  if (expected === undefined) return false;
  const given = arrival.req.headers['x-admin-key'];
  return (typeof given === 'string' && sameSecret(given, expected)) || presentsAdminBearer(rt, arrival);
}

/** Whether `Authorization` holds the admin key: then it is for the router, and no worker may see it. */
export function presentsAdminBearer(rt: Runtime, arrival: Arrival): boolean {
  const expected = rt.settings.adminApiKey;
  const given = bearer(arrival.req.headers.authorization);
  return expected !== undefined && given !== undefined && sameSecret(given, expected);
}

function bearer(authorization: string | undefined): string | undefined {
  return /^bearer (.+)$/i.exec(authorization ?? '')?.[1]?.trim();
}

/** In a time that tells nothing about where the two differ. */
function sameSecret(given: string, expected: string): boolean {
  const digest = (value: string): Buffer => createHash('sha256').update(value).digest();
  return timingSafeEqual(digest(given), digest(expected));
}

/** CORS preflight requests of inference routes are the router's to answer. */
export async function answerPreflight(rt: Runtime, arrival: Arrival): Promise<boolean> {
  const { headers } = arrival.req;
  const { origin } = headers;
  if (
    arrival.method !== 'OPTIONS' ||
    origin === undefined ||
    headers['access-control-request-method'] === undefined
  )
    return false;
  if (arrival.endpoint.class === 'operator') return false;
  const allowed = preflightHeaders(
    rt.settings.listen.corsAllowedOrigins,
    origin,
    headers['access-control-request-headers'],
  );
  await reply(rt, arrival, {
    status: allowed.length > 0 ? 204 : 403,
    contentType: 'text/plain',
    body: '',
    headers: allowed,
  });
  return true;
}
