import { endToEnd, headerOf, joinedHeader } from '../../http/headers.ts';
import { corsHeaders } from '../../http/cors.ts';
import type { Arrival } from '../arrive/arrival.ts';
import { roundMs } from '../record/decision.ts';
import { addExplainHeaders, addExternalHeaders, EXPLAIN_HEADERS, EXTERNAL_HEADERS } from './explain.ts';
import { addLimitHeaders } from '../arrive/limit-headers.ts';
import type { Runtime } from '../runtime.ts';

interface HeadFacts {
  readonly status: number;
  readonly isStream: boolean;
  readonly now: number;
}

const OURS = new Set<string>(['x-request-id', ...EXPLAIN_HEADERS, ...EXTERNAL_HEADERS]);

/** The worker's end-to-end headers and the router's own. */
export function responseHeaders(
  rt: Runtime,
  arrival: Arrival,
  workerHeaders: readonly string[],
  facts: HeadFacts,
): string[] {
  // Who may read answers across origins is for this router to say: vLLM lets everybody unless told otherwise.
  const crossOrigin = headerOf(arrival.req.rawHeaders, 'origin') !== undefined;
  const headers = endToEnd(
    workerHeaders,
    (name) =>
      OURS.has(name) ||
      // It has no body, and so no length (RFC 9110 8.6): some clients would wait for one.
      (facts.status === 204 && name === 'content-length') ||
      (name === 'request-id' && arrival.endpoint.dialect === 'anthropic') ||
      // The limits of a worker that is somebody else's service are not those of the tenant.
      (arrival.tenant !== undefined && name.startsWith('x-ratelimit-')) ||
      (crossOrigin && name.startsWith('access-control-')),
  );
  if (facts.isStream && headerOf(headers, 'x-accel-buffering') === undefined)
    headers.push('x-accel-buffering', 'no');
  headers.push(...corsOf(rt, arrival));
  addRouterHeaders(rt, arrival, headers, facts.now);
  return headers;
}

/** What every response of the router carries, whoever made it. */
export function addRouterHeaders(rt: Runtime, arrival: Arrival, headers: string[], now: number): void {
  headers.push('x-request-id', arrival.requestId);
  // Where Anthropic's clients look for it.
  if (arrival.endpoint.dialect === 'anthropic') headers.push('request-id', arrival.requestId);
  addExternalHeaders(headers, arrival.decision);
  if (rt.settings.exposeRoutingHeaders) addExplainHeaders(headers, arrival.decision);
  if (arrival.tenant) addLimitHeaders(headers, arrival.tenant);
  headers.push('server-timing', serverTiming(arrival, now));
  if (rt.stopping() && arrival.res.mayEnd()) headers.push('connection', 'close');
}

/** Routes that change or reveal a worker are not for web pages, whatever origins are allowed. */
export function corsOf(rt: Runtime, arrival: Arrival): string[] {
  const origin = joinedHeader(arrival.req.rawHeaders, 'origin');
  if (origin === undefined || arrival.endpoint.class === 'operator') return [];
  return corsHeaders(rt.settings.listen.corsAllowedOrigins, origin);
}

/** `router` = the router's own work up to the dispatch, `hooks` = waiting for them, `cache` = looking for a stored answer, `queue` = waiting for a turn, `worker` = dispatch to first byte. */
function serverTiming(arrival: Arrival, now: number): string {
  const { times, startedAt } = arrival;
  let timing = `router;dur=${roundMs(routerMs(arrival, now))}`;
  if (times.hooksMs > 0) timing += `, hooks;dur=${roundMs(times.hooksMs)}`;
  if (times.cacheMs > 0) timing += `, cache;dur=${roundMs(times.cacheMs)}`;
  if (times.queueMs > 0) timing += `, queue;dur=${roundMs(times.queueMs)}`;
  if (times.waitMs > 0) timing += `, wait;dur=${roundMs(times.waitMs)}`;
  if (times.dispatched > startedAt) timing += `, worker;dur=${roundMs(now - times.dispatched)}`;
  return timing;
}

/** From the last byte of the request to its (last) dispatch, without hooks, queue, backoff and earlier attempts. */
export function routerMs(arrival: Arrival, now: number): number {
  const { times, startedAt } = arrival;
  const from = times.bodyRead || startedAt;
  const waited =
    times.hooksMs + times.cacheMs + times.tokensMs + times.prepareMs + times.queueMs + times.waitMs;
  const attempts = times.backoffMs + times.givenUpMs;
  return Math.max(0, (times.dispatched || now) - from - waited - attempts);
}
