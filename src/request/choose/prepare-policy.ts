import type { Arrival } from '../arrive/arrival.ts';
import type { Deadline } from '../arrive/deadline.ts';
import { lookUp, notePreparing } from './look-up.ts';
import type { Policy } from '../../routing/policy.ts';
import { poolFor, staysWithOwner } from './call-pool.ts';
import { decidersOf } from './deciders.ts';
import type { Call } from '../understand/read-call.ts';
import type { Runtime } from '../runtime.ts';

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
  return lookUp(rt, { arrival, deadline }, notePreparing(arrival), (signal) =>
    withKnowledge(rt, call, signal),
  );
}

/** The same for a request that is only talked about. */
export async function withKnowledge(rt: Runtime, call: Call, signal: AbortSignal): Promise<Call> {
  const prepared = new Map<Policy, unknown>();
  const looking = decidersOf(rt, call).map(async ({ policy, stage }) => {
    if (policy.prepare)
      prepared.set(policy, await policy.prepare(call.ask, poolFor(rt, call, stage), signal));
  });
  await Promise.all(looking);
  return { ...call, prepared };
}
