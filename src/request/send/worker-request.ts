import type { WorkerRequest } from '../../engines/client.ts';
import { StreamedBody } from '../../http/body.ts';
import { endToEnd, headerOf } from '../../http/headers.ts';
import { HEADER_PROTOCOL, isKey, offeredProtocols } from '../../http/protocol-key.ts';
import type { Worker } from '../../workers/worker.ts';
import type { Arrival } from '../arrive/arrival.ts';
import { presentsAdminBearer } from '../arrive/guard-route.ts';
import { HEADER_MAX_COST, HEADER_WORKER_PRIORITY } from '../choose/worker-filters.ts';
import { TRANSFER_HEADERS } from '../understand/own-transfers.ts';
import type { Call } from '../understand/read-call.ts';
import type { Runtime } from '../runtime.ts';

/** Tells a worker which semantic cluster the request belongs to. */
const HEADER_CLUSTER_ID = 'x-semantic-cluster-id';
const RANK_HEADER = 'x-data-parallel-rank';
/** Never for workers: the router's own keys and claims, and what describes this hop only. */
const NEVER_FORWARDED = new Set([
  'host',
  'expect',
  'content-length',
  'x-router-key',
  'x-admin-key',
  'x-vllm-tenant',
  'http2-settings',
  HEADER_WORKER_PRIORITY,
  HEADER_MAX_COST,
]);
const CREDENTIALS = new Set(['authorization', 'x-api-key', 'cookie']);

/** Mean nothing to who does not know that API. */
const OF_ANTHROPIC = new Set(['x-api-key', 'anthropic-version', 'anthropic-beta']);

/** What one leg of a pair is sent otherwise than the client sent it. */
export interface LegRequest {
  readonly body: Buffer;
  /** In the place of the client's, where the workers go by it. */
  readonly requestId: string | undefined;
  /** In the place of the client's of the same names; names, in small letters, and values in turn. */
  readonly headers: readonly string[];
  /** What it says is good for one try: a kept-alive connection that died may have brought it all the same. */
  readonly single: boolean;
}

/** The client's request as this worker gets it: the same bytes and end-to-end headers, the worker's own credentials. */
export function workerRequest(
  rt: Runtime,
  arrival: Arrival,
  call: Call,
  worker: Worker,
  leg?: LegRequest,
): WorkerRequest {
  const { apiKey, rank } = worker.spec;
  // They were for the router.
  const keysChecked = rt.settings.clients.auth.kind !== 'open';
  const clientHeaders = arrival.req.rawHeaders;
  const adminBearer = rt.settings.adminApiKey !== undefined && presentsAdminBearer(rt, arrival);
  // An empty one names nothing.
  const bringsRequestId =
    leg?.requestId === undefined && (headerOf(clientHeaders, 'x-request-id') ?? '') !== '';
  const hidesKeys = apiKey !== undefined || keysChecked;
  const protocols = hidesKeys && arrival.tunnel ? offeredProtocols(clientHeaders) : [];
  const hasKey = protocols.some(isKey);
  // What answers say is read, and changed where that is wished.
  const plain = arrival.endpoint.class === 'inference';
  const { handsOver } = rt.registry;
  const { cluster } = call.ask;
  const headers = endToEnd(clientHeaders, (name) => {
    if (NEVER_FORWARDED.has(name)) return true;
    if (handsOver && TRANSFER_HEADERS.includes(name)) return true;
    if (arrival.bodyDecoded && (leg || !call.encoded) && name === 'content-encoding') return true;
    if (plain && name === 'accept-encoding') return true;
    if (hidesKeys && CREDENTIALS.has(name)) return true;
    if (hasKey && name === HEADER_PROTOCOL) return true;
    if (adminBearer && name === 'authorization') return true;
    if (name === 'x-request-id' && !bringsRequestId) return true;
    if (leg?.headers.includes(name) === true) return true;
    if (cluster && name === HEADER_CLUSTER_ID) return true;
    if (call.isTranslated && OF_ANTHROPIC.has(name)) return true;
    return name === RANK_HEADER && rank !== undefined;
  });
  if (plain) headers.push('accept-encoding', 'identity');
  if (call.isTranslated && !hidesKeys) headers.push(...asBearer(headers, clientHeaders));
  if (apiKey !== undefined) headers.push('authorization', `Bearer ${apiKey}`);
  if (rank !== undefined && leg?.headers.includes(RANK_HEADER) !== true)
    headers.push(RANK_HEADER, String(rank));
  if (!bringsRequestId) headers.push('x-request-id', leg?.requestId ?? arrival.requestId);
  if (cluster) headers.push(HEADER_CLUSTER_ID, cluster.name);
  if (leg) headers.push(...leg.headers);
  if (hasKey) addProtocols(headers, protocols);
  if (call.body instanceof StreamedBody) addLength(headers, clientHeaders);
  return {
    method: arrival.method,
    path: call.target ?? arrival.target,
    headers,
    body: leg?.body ?? call.encoded ?? call.body,
    upgrade: arrival.tunnel ? 'websocket' : undefined,
    // Of a leg that may be sent again nothing is stored.
    once: call.retry === 'connect' && leg?.single !== false,
    single: leg?.single ?? false,
  };
}

/** The key of Anthropic's clients, where those of OpenAI have theirs. */
function asBearer(headers: readonly string[], clientHeaders: readonly string[]): readonly string[] {
  const key = headerOf(clientHeaders, 'x-api-key');
  if (key === undefined || headerOf(headers, 'authorization') !== undefined) return [];
  return ['authorization', `Bearer ${key}`];
}

function addProtocols(headers: string[], offered: readonly string[]): void {
  const rest = offered.filter((one) => !isKey(one));
  if (rest.length > 0) headers.push(HEADER_PROTOCOL, rest.join(', '));
}

/** A held body's length is known; of a streamed one only what the client announced. */
function addLength(headers: string[], clientHeaders: readonly string[]): void {
  const length = headerOf(clientHeaders, 'content-length');
  if (length !== undefined) headers.push('content-length', length);
}
