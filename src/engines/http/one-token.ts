import type { Clock } from '../../base/clock.ts';
import type { WorkerSpec } from '../../config/settings/settings.ts';
import type { StalledRequest, StallProbeEnd } from '../../workers/stall-watch.ts';
import type { WorkerClient, WorkerRequest } from '../client.ts';
import { collect } from '../collect.ts';
import { probeHeaders } from './probe.ts';

const MAX_ANSWER_BYTES = 1024 * 1024;
const MESSAGES = [{ role: 'user', content: 'a' }];

/** The least that a request to each of these can ask of the engine. */
const LEAST = {
  '/v1/chat/completions': { messages: MESSAGES, max_tokens: 1 },
  '/v1/completions': { prompt: 'a', max_tokens: 1 },
  '/v1/messages': { messages: MESSAGES, max_tokens: 1 },
  '/v1/responses': { input: 'a', max_output_tokens: 1, store: false },
  '/v1/embeddings': { input: 'a' },
} as const;

/** By the code of the failure. */
const ENDS: ReadonlyMap<string, StallProbeEnd> = new Map([
  ['timeout', 'silent'],
  ['aborted', 'unasked'],
  ['out_of_sockets', 'unasked'],
]);

/** Routes of which the least is known. */
export type LeastRoute = keyof typeof LEAST;

export function hasLeast(route: string): route is LeastRoute {
  return Object.hasOwn(LEAST, route);
}

/** One token, or one embedding; of the named model, or of the worker's own where the name is empty. */
export function leastRequest(
  spec: WorkerSpec,
  { route, model }: { readonly route: LeastRoute; readonly model: string },
): WorkerRequest {
  const fields = LEAST[route];
  const body = Buffer.from(JSON.stringify({ ...(model === '' ? {} : { model }), ...fields }));
  const headers = [...probeHeaders(spec), 'content-type', 'application/json'];
  if (spec.rank !== undefined) headers.push('x-data-parallel-rank', String(spec.rank));
  return { method: 'POST', path: route, headers, body, upgrade: undefined, reserved: true };
}

/** Whether its server is well, which says nothing of its engine. */
export function healthRequest(spec: WorkerSpec, path: string): WorkerRequest {
  return {
    ...{ method: 'GET', path, headers: probeHeaders(spec) },
    ...{ body: undefined, upgrade: undefined, reserved: true },
  };
}

export interface OneTokenLimits {
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** Asked instead, where the route has nothing little, or the worker nothing to be asked by itself. */
  readonly healthPath: string;
}

/**
 * Has a worker do a little of what it was silent about; undefined: it does nothing by itself. A 4xx counts as an answer: whoever refuses the probe would do so
 * for ever, and nobody could ever be readmitted by it.
 */
export async function probeOneToken(
  client: WorkerClient,
  spec: WorkerSpec,
  request: StalledRequest | undefined,
  clock: Clock,
  { healthPath, ...limits }: OneTokenLimits,
): Promise<StallProbeEnd> {
  const { route = '', model = '' } = request ?? {};
  const least = hasLeast(route) ? leastRequest(spec, { route, model }) : healthRequest(spec, healthPath);
  const answer = await collect(client, least, clock, { ...limits, maxBytes: MAX_ANSWER_BYTES });
  if (answer.kind === 'failed') return ENDS.get(answer.code) ?? 'failed';
  return answer.status < 500 ? 'answered' : 'failed';
}
