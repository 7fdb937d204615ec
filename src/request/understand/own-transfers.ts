import { RouterError } from '../../base/errors.ts';
import { inPieces } from '../../base/in-pieces.ts';
import { leavingOutClientParams, mayHaveClientParams } from '../../engines/prefill-decode/bodies.ts';
import { headerOf } from '../../http/headers.ts';
import { namesPair } from '../../engines/prefill-decode/transfer-ids.ts';
import type { Arrival } from '../arrive/arrival.ts';
import type { Runtime } from '../runtime.ts';
import type { Call } from './read-call.ts';
import { replaceBody } from './replace-body.ts';

/** By which the proxies beside workers are told where a prompt is computed (llm-d's sidecar): never a client's to say. */
export const TRANSFER_HEADERS: readonly string[] = [
  'x-prefiller-host-port',
  'x-encoder-hosts-ports',
  'x-data-parallel-host-port',
];

/**
 * Where workers hand KV blocks over it is the router that says from where and to whom: what a client says of it is refused, or taken out.
 * Throws `kv_transfer_params_refused`.
 */
export function ownTransfers(rt: Runtime, arrival: Arrival, call: Call): Call | Promise<Call> {
  if (!rt.registry.handsOver) return call;
  const header = TRANSFER_HEADERS.find((name) => headerOf(arrival.req.rawHeaders, name) !== undefined);
  if (refuses(rt) && header !== undefined) throw refused(`the header ${header}`);
  // Dropped it would have to be another one in every record of it.
  const id = headerOf(arrival.req.rawHeaders, 'x-request-id') ?? '';
  if (namesPair(id) || namesPair(arrival.requestId)) throw refused('the id of the request');
  if (!Buffer.isBuffer(call.body) || !mayHaveClientParams(call.body)) return call;
  const made = inPieces(leavingOutClientParams(call.body));
  if (!(made instanceof Promise)) return without(rt, arrival, call, made);
  return made.then((bytes) => without(rt, arrival, call, bytes));
}

function refuses({ settings }: Runtime): boolean {
  return settings.pd.clientParams === 'refuse';
}

function without(rt: Runtime, arrival: Arrival, call: Call, bytes: Buffer | undefined): Call {
  if (bytes === call.body) return call;
  // Of so many members that nobody can tell, one may be it.
  if (bytes === undefined || refuses(rt)) throw refused('the body');
  return { ...call, ...replaceBody(rt, arrival, call, bytes) };
}

function refused(where: string): RouterError {
  return new RouterError(
    'kv_transfer_params_refused',
    `${where} says how KV blocks are handed over, which is for the router to say (pd.client_params)`,
  );
}
