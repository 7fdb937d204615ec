import { injectIncludeUsage } from '../../api/json-edit.ts';
import type { Arrival } from '../arrive/arrival.ts';
import type { Call } from './read-call.ts';
import { replaceBody } from './replace-body.ts';
import type { Runtime } from '../runtime.ts';

/**
 * A stream of a tenant whose tokens are limited is to say what it took: the worker is asked for that where the client did
 * not, and the client does not see the answer to what it did not ask.
 */
export function askForUsage(rt: Runtime, arrival: Arrival, call: Call): Call {
  const { tenant, endpoint } = arrival;
  if (!tenant?.countsTokens || !call.stream || endpoint.streamOptions !== true) return call;
  if (rt.settings.clients.usageInjection === 'off' || !Buffer.isBuffer(call.body)) return call;
  const bytes = injectIncludeUsage(call.body);
  if (bytes === undefined) return call;
  return { ...call, ...replaceBody(rt, arrival, call, bytes), swallowUsage: true };
}
