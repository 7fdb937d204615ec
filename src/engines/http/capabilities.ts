import type { Clock } from '../../base/clock.ts';
import type { WorkerSpec } from '../../config/settings.ts';
import type { WorkerClient } from '../client.ts';
import { collect } from '../collect.ts';
import { probeHeaders } from './probe.ts';

/** What the router may use of a worker, and the route that offers it. */
const ROUTES = {
  metrics: '/metrics',
  tokenize: '/tokenize',
  responses: '/v1/responses',
  messages: '/v1/messages',
  reset_prefix_cache: '/reset_prefix_cache',
} as const;

/** Undefined: the worker gave no clear answer. */
export type Capabilities = Readonly<Record<keyof typeof ROUTES, boolean | undefined>>;

const MAX_ANSWER_BYTES = 4 * 1024 * 1024;

/**
 * Finds out what a worker offers by trying, without changing anything there: GET on a route that wants POST is
 * 405 where the route exists and 404 where it does not.
 */
export async function tryCapabilities(
  client: WorkerClient,
  spec: WorkerSpec,
  clock: Clock,
  timeoutMs: number,
): Promise<Capabilities> {
  const tries = Object.entries(ROUTES).map(async ([name, path]) => {
    const request = { method: 'GET', path, headers: probeHeaders(spec), body: undefined, upgrade: undefined };
    const answer = await collect(client, request, clock, { timeoutMs, maxBytes: MAX_ANSWER_BYTES });
    return [name, answer.kind === 'response' ? isOffered(answer.status) : undefined] as const;
  });
  // One entry per row, which Object.fromEntries cannot express.
  return Object.fromEntries(await Promise.all(tries)) as Record<keyof typeof ROUTES, boolean | undefined>;
}

function isOffered(status: number): boolean | undefined {
  if (status === 404 || status === 501) return false;
  if ((status >= 200 && status < 300) || status === 405 || status === 400 || status === 422) return true;
  return undefined;
}
