import { RouterError } from '../../base/errors.ts';
import type { Arrival } from '../arrive/arrival.ts';
import type { Deadline } from '../arrive/deadline.ts';
import { roundMs } from '../record/decision.ts';
import { poolFor, staysWithOwner } from './plan.ts';
import type { Call } from '../understand/read-call.ts';
import type { Runtime } from '../runtime.ts';
import { whileWanted } from '../understand/while-wanted.ts';

/**
 * Lets a policy that looks things up do so, once for all attempts. Only for policies that have something to prepare; they
 * keep to their own deadline, and the request's and the client's patience end it as well.
 */
export async function preparePolicy(
  rt: Runtime,
  arrival: Arrival,
  call: Call,
  deadline: Deadline,
): Promise<Call> {
  if (staysWithOwner(rt, call)) return call;
  const from = rt.clock.now();
  const prepared = await whileWanted(arrival, deadline, (signal) => withKnowledge(rt, call, signal));
  const spent = rt.clock.now() - from;
  arrival.times.prepareMs += spent;
  arrival.decision.prepare_ms = roundMs(arrival.times.prepareMs);
  if (arrival.client.gone)
    throw new RouterError('client_closed', 'the client left while its worker was being chosen');
  deadline.check();
  return prepared;
}

/** The same for a request that is only talked about. */
export async function withKnowledge(rt: Runtime, call: Call, signal: AbortSignal): Promise<Call> {
  const prepared = await call.policy.prepare?.(call.ask, poolFor(rt, call), signal);
  return { ...call, prepared };
}
