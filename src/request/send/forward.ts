import { RouterError } from '../../base/errors.ts';
import { StreamedBody } from '../../http/body.ts';
import type { Worker } from '../../workers/worker.ts';
import type { Arrival } from '../arrive/arrival.ts';
import { Attempt, type Failure, type FirstResult, type Head } from './attempt.ts';
import type { Deadline } from '../arrive/deadline.ts';
import { LegOutcome } from './leg-outcome.ts';
import { recordPlan } from '../answer/explain.ts';
import { recordPrompt } from '../record/record-prompt.ts';
import { makePlan, NOBODY_TRIED, type Plan } from '../choose/plan.ts';
import { letGoOfBody, type Call } from '../understand/read-call.ts';
import { ownLocations } from '../answer/own-locations.ts';
import { relay } from '../answer/relay.ts';
import { answerEdit } from '../answer/response-edit.ts';
import { RetryDecision } from './retry.ts';
import type { Runtime } from '../runtime.ts';
import { relayTunnel } from './tunnel.ts';
import { waitForWorker } from '../choose/wait-for-worker.ts';
import { workerRequest } from './worker-request.ts';

/**
 * Plan, lease, send; again on another worker while no byte has reached the client and the rules allow it. Returns when
 * the response has left; throws the error that the client is to get.
 */
export async function forward(rt: Runtime, arrival: Arrival, call: Call, deadline: Deadline): Promise<void> {
  const retry = new RetryDecision(rt, arrival, call, deadline);
  let tried = NOBODY_TRIED;
  for (;;) {
    deadline.check();
    const plan = makePlan(rt, call, tried);
    if (plan.kind === 'none') {
      await waitForWorker(rt, arrival, call, deadline, plan);
      continue;
    }
    const { worker } = plan.legs[0];
    const outcome = new LegOutcome(rt, arrival, call, plan);
    try {
      recordPlan(rt, arrival.decision, plan);
      if (tried.size === 0) recordPrompt(rt, arrival, call);
      const attempt = send(rt, arrival, call, plan, retry);
      outcome.started(attempt);
      const first = await firstOf(attempt, arrival, deadline);
      const settled = settleFirst(rt, arrival, call, { attempt, first, outcome, retry, worker });
      const again = settled instanceof Promise ? await settled : settled;
      if (!again) return;
      tried = new Set(tried).add(worker.slot);
      arrival.times.givenUpMs += rt.clock.now() - arrival.times.dispatched;
    } finally {
      outcome.close();
    }
    await retry.backOff();
  }
}

interface Step {
  readonly attempt: Attempt;
  readonly first: FirstResult | { readonly kind: 'client_left' };
  readonly outcome: LegOutcome;
  readonly retry: RetryDecision;
  readonly worker: Worker;
}

/** Decides what the first sign of the worker means for the client. True = try again. */
function settleFirst(rt: Runtime, arrival: Arrival, call: Call, step: Step): boolean | Promise<boolean> {
  const { attempt, first, outcome, retry } = step;
  switch (first.kind) {
    case 'client_left':
      outcome.gaveUp();
      attempt.abort();
      throw new RouterError('client_closed', 'the client left before the answer began');
    case 'failed':
      return settleFailure(call, step, first.failure);
    case 'refused':
      outcome.answered(first.head.status);
      if (retry.afterStatus(first.head.status, first.retryAfterMs)) {
        attempt.abort();
        return true;
      }
      return hand(rt, arrival, call, step, first.head);
    case 'begun':
      outcome.answered(first.head.status);
      return hand(rt, arrival, call, step, first.head);
    case 'upgraded':
      outcome.upgraded(first.head.status);
      return relayTunnel(rt, arrival, first.head, first.socket).then(() => false);
  }
}

/** Nothing of it has reached the client, who gets another answer or hears of it. True = try again. */
function settleFailure(call: Call, { outcome, retry }: Step, failure: Failure): boolean {
  outcome.failed(failure);
  if (failure.code === 'deadline_exceeded') throw asError(failure);
  if (retry.afterFailure(failure)) return true;
  throw bodyFailure(call) ?? asError(failure);
}

/** True = there was nothing to hand on, and it is to be tried again. */
async function hand(rt: Runtime, arrival: Arrival, call: Call, step: Step, head: Head): Promise<boolean> {
  const { end, tap } = await relay(rt, arrival, step.attempt, ownLocations(rt.registry, head, step.worker), {
    onHead: () => {
      letGoOfBody(call);
    },
    onFirstToken: (now) => {
      step.outcome.firstToken(now);
    },
    edit: answerEdit(rt, arrival, call),
  });
  if (end.kind === 'broken' && end.isUnseen) return settleFailure(call, step, end.failure);
  step.outcome.relayed(end, tap);
  if (head.status > 299) return false;
  const workerId = step.worker.id;
  if (arrival.endpoint.resource === 'by_id' && call.resourceId !== undefined)
    rt.owners.found(call.resourceId, workerId);
  const created = arrival.endpoint.resource === 'create' ? tap.resourceId() : undefined;
  if (created !== undefined) rt.owners.created(created, workerId, arrival.tenant?.access.name);
  return false;
}

/** The attempt's first result, or word that the client is gone: then the worker's connection is cut within the same tick. */
function firstOf(attempt: Attempt, arrival: Arrival, deadline: Deadline): Promise<Step['first']> {
  deadline.covers(attempt);
  return new Promise((resolve) => {
    arrival.client.onGone(() => {
      attempt.abort();
      resolve({ kind: 'client_left' });
    });
    attempt.onFirst((first) => {
      arrival.client.onGone(undefined);
      resolve(first);
    });
  });
}

function send(rt: Runtime, arrival: Arrival, call: Call, plan: Plan, retry: RetryDecision): Attempt {
  const { worker } = plan.legs[0];
  arrival.times.dispatched = rt.clock.now();
  const attempt = new Attempt(rt, rt.clientOf(worker), workerRequest(rt, arrival, call, worker), (status) =>
    retry.looksElsewhere(status),
  );
  if (isComputed(arrival)) attempt.watch(worker.progress, call.stream ? (arrival.endpoint.preamble ?? 0) : 0);
  return attempt;
}

/** Whether an engine computes the answer; others come from the server beside it, which goes on when the engine hangs. */
function isComputed({ endpoint, tunnel }: Arrival): boolean {
  return tunnel === undefined && (endpoint.tokens !== undefined || endpoint.body === 'form');
}

/** The client's own body broke off or was too long while it was being passed on: that is what the client must hear. */
function bodyFailure(call: Call): RouterError | undefined {
  return call.body instanceof StreamedBody ? call.body.failure : undefined;
}

function asError(failure: Failure): RouterError {
  return new RouterError(failure.code, failure.message);
}
