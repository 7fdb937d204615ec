import { RouterError } from '../../base/errors.ts';
import type { Arrival } from '../arrive/arrival.ts';
import type { Deadline } from '../arrive/deadline.ts';
import { roundMs } from '../record/decision.ts';
import type { Runtime } from '../runtime.ts';
import { whileWanted } from '../understand/while-wanted.ts';

/**
 * Waits for what is looked up before a request is placed, as long as its client and its deadline do.
 *
 * @param note Told how long that took, ms.
 */
export async function lookUp<T>(
  rt: Runtime,
  { arrival, deadline }: { readonly arrival: Arrival; readonly deadline: Deadline },
  note: (spentMs: number) => void,
  step: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const from = rt.clock.now();
  const found = await whileWanted(arrival, deadline, step);
  note(rt.clock.now() - from);
  if (arrival.client.gone)
    throw new RouterError('client_closed', 'the client left while its worker was being chosen');
  deadline.check();
  return found;
}

/** For what a policy, or somebody in its place, wants to know. */
export function notePreparing(arrival: Arrival): (spentMs: number) => void {
  return (spentMs) => {
    arrival.times.prepareMs += spentMs;
    arrival.decision.prepare_ms = roundMs(arrival.times.prepareMs);
  };
}
