import type { Arrival } from '../arrive/arrival.ts';
import type { Deadline } from '../arrive/deadline.ts';
import type { Runtime } from '../runtime.ts';
import type { Call } from '../understand/read-call.ts';
import { lookUp, notePreparing } from './look-up.ts';
import { staysWithOwner } from './call-pool.ts';
import { needsOfDeciders } from './deciders.ts';

/**
 * Asks LMCache's controller where the prompt is stored, once for all attempts; undefined where nobody wants to know it, or where its
 * tokens are not known. A controller that does not answer in time costs the request that time and nothing else.
 */
export function askLmcache(
  rt: Runtime,
  arrival: Arrival,
  call: Call,
  deadline: Deadline,
): Promise<void> | undefined {
  if (!rt.lmcache.concerns(needsOfDeciders(rt, call))) return undefined;
  if (call.ask.tokenIds() === undefined || staysWithOwner(rt, call)) return undefined;
  return lookUp(rt, { arrival, deadline }, notePreparing(arrival), (signal) =>
    withHoldings(rt, call, signal),
  );
}

/** The same for a request that is only talked about. */
export async function withHoldings(rt: Runtime, call: Call, signal: AbortSignal): Promise<void> {
  const { ask } = call;
  const ids = ask.tokenIds();
  if (ids === undefined || !rt.lmcache.concerns(needsOfDeciders(rt, call))) return;
  ask.holdings = await rt.lmcache.find({ ids, model: ask.model, salt: ask.salt }, signal);
}
