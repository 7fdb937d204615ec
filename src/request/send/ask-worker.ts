import type { Arrival } from '../arrive/arrival.ts';
import type { Deadline } from '../arrive/deadline.ts';
import type { Leg } from '../choose/leg.ts';
import type { Runtime } from '../runtime.ts';
import type { Call } from '../understand/read-call.ts';
import { Attempt } from './attempt.ts';
import { firstOf, settleFirst, type Again, type Step } from './settle.ts';
import { workerRequest } from './worker-request.ts';

/** Sends the whole request to the worker that was chosen, and settles what comes of it. */
export async function askWorker(
  rt: Runtime,
  arrival: Arrival,
  call: Call,
  deadline: Deadline,
  step: Step,
): Promise<Again> {
  const { leg, outcome, retry } = step;
  arrival.times.dispatched = rt.clock.now();
  const request = workerRequest(rt, arrival, call, leg.worker);
  const attempt = new Attempt(rt, rt.clientOf(leg.worker), request, (status) => retry.looksElsewhere(status));
  watchEngine(attempt, arrival, call, leg);
  outcome.started(attempt);
  deadline.covers(attempt);
  return settleFirst(rt, arrival, call, { ...step, attempt }, await firstOf(attempt, arrival));
}

/** Where an engine computes the answer; others come from the server beside it, which goes on when the engine hangs. */
export function watchEngine(attempt: Attempt, arrival: Arrival, call: Call, { worker }: Leg): void {
  const { endpoint, tunnel } = arrival;
  if (tunnel !== undefined || (endpoint.tokens === undefined && endpoint.body !== 'form')) return;
  attempt.watch(worker.progress, call.stream ? (endpoint.preamble ?? 0) : 0);
}
