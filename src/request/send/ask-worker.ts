import type { Arrival } from '../arrive/arrival.ts';
import type { Deadline } from '../arrive/deadline.ts';
import type { Leg } from '../choose/leg.ts';
import type { Runtime } from '../runtime.ts';
import type { Call } from '../understand/read-call.ts';
import { Attempt } from './attempt.ts';
import { firstOf, settleFirst, type Again, type First, type Put, type Sent, type Step } from './settle.ts';
import { workerRequest } from './worker-request.ts';

/** Sends the whole request to the worker that was chosen, and settles what comes of it. */
export async function askWorker(
  rt: Runtime,
  arrival: Arrival,
  call: Call,
  deadline: Deadline,
  step: Step,
): Promise<Again> {
  const sent = send(rt, arrival, call, deadline, step);
  const first = await firstOf(sent.attempt, arrival);
  const { put, leg } = step;
  if (put?.wording.isUnspoken(leg.worker, put.said, first) === true)
    return askAgain(rt, arrival, call, deadline, { ...sent, put });
  noteWords(step, first);
  return settleFirst(rt, arrival, call, sent, first);
}

/** The worker has no such route, as it says: it is asked for the same in other words. */
async function askAgain(
  rt: Runtime,
  arrival: Arrival,
  call: Call,
  deadline: Deadline,
  step: Sent & { readonly put: Put },
): Promise<Again> {
  const said = await step.put.wording.inChat();
  step.attempt.abort();
  arrival.times.givenUpMs += rt.clock.now() - arrival.times.dispatched;
  const sent = send(rt, arrival, call, deadline, { ...step, put: { ...step.put, said } });
  const first = await firstOf(sent.attempt, arrival);
  noteWords(sent, first);
  return settleFirst(rt, arrival, call, sent, first);
}

function send(rt: Runtime, arrival: Arrival, call: Call, deadline: Deadline, step: Step): Sent {
  const { leg, outcome, retry, put } = step;
  arrival.times.dispatched = rt.clock.now();
  const request = workerRequest(rt, arrival, put?.said.call ?? call, leg.worker);
  const refuses = (status: number): boolean =>
    retry.looksElsewhere(status) || put?.wording.refuses(leg.worker, put.said, status) === true;
  const attempt = new Attempt(rt, rt.clientOf(leg.worker), request, refuses);
  watchEngine(attempt, arrival, call, leg);
  outcome.started(attempt, put?.said.answer !== undefined);
  deadline.covers(attempt);
  return { ...step, attempt };
}

/** What an answer tells of the API that the worker knows. */
export function noteWords({ leg, put }: Step, first: First): void {
  if ('head' in first) put?.wording.answered(leg.worker, put.said, first.head.status);
}

/** Where an engine computes the answer; others come from the server beside it, which goes on when the engine hangs. */
export function watchEngine(attempt: Attempt, arrival: Arrival, call: Call, { worker }: Leg): void {
  const { endpoint, tunnel } = arrival;
  if (tunnel !== undefined || (endpoint.tokens === undefined && endpoint.body !== 'form')) return;
  attempt.watch(worker.progress, call.stream ? (endpoint.preamble ?? 0) : 0);
}
