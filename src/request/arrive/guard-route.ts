import { RouterError } from '../../base/errors.ts';
import { isAdminBearer, presentsAdminKey } from '../../http/admin-key.ts';
import { headerOf, joinedHeader } from '../../http/headers.ts';
import { preflightHeaders } from '../../http/cors.ts';
import type { Arrival } from './arrival.ts';
import { reply } from '../answer/reply.ts';
import type { Runtime } from '../runtime.ts';

/** Hides what is not for clients. Throws `route_not_found`, `method_not_allowed` or `invalid_request`. */
export function guardRoute(rt: Runtime, arrival: Arrival): void {
  const { match, method, endpoint } = arrival;
  // RFC 9110 10.1.1: nothing else can be expected of us.
  if (arrival.req.expectsUnknown)
    throw new RouterError('expectation_failed', 'nothing but 100-continue can be expected here');
  if (match.kind === 'wrong_method')
    throw new RouterError(
      'method_not_allowed',
      `${method} is not offered on ${method === 'TRACE' ? 'any path' : endpoint.route}`,
    );
  if (match.kind === 'outside') throw new RouterError('invalid_request', 'the path leads out of its root');
  if (match.kind === 'reserved') throw new RouterError('route_not_found', 'no such route');
  if (endpoint.class !== 'operator' || rt.settings.proxyOperatorRoutes) return;
  if (presentsAdminKey(rt.settings.adminApiKey, arrival.req.rawHeaders)) return;
  // The first place where people look for what the router itself counts.
  const elsewhere =
    endpoint.route === '/metrics' ? '; metrics are on a port of their own (--prometheus-port)' : '';
  throw new RouterError('route_not_found', `no such route${elsewhere}`);
}

/** Whether `Authorization` holds the admin key: then it is for the router, and no worker may see it. */
export function presentsAdminBearer(rt: Runtime, arrival: Arrival): boolean {
  return isAdminBearer(rt.settings.adminApiKey, arrival.req.rawHeaders);
}

/** CORS preflight requests of inference routes are the router's to answer. False = not one of those. */
export function answerPreflight(rt: Runtime, arrival: Arrival): false | Promise<true> {
  if (arrival.method !== 'OPTIONS') return false;
  const { rawHeaders } = arrival.req;
  const origin = joinedHeader(rawHeaders, 'origin');
  if (origin === undefined || headerOf(rawHeaders, 'access-control-request-method') === undefined)
    return false;
  if (arrival.endpoint.class === 'operator') return false;
  const allowed = preflightHeaders(
    rt.settings.listen.corsAllowedOrigins,
    origin,
    joinedHeader(rawHeaders, 'access-control-request-headers'),
  );
  return reply(rt, arrival, {
    status: allowed.length > 0 ? 204 : 403,
    contentType: 'text/plain',
    body: '',
    headers: allowed,
  }).then(() => true);
}
