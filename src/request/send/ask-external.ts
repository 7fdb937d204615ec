import { RouterError } from '../../base/errors.ts';
import { handedOn } from '../../engines/external/provider-headers.ts';
import { isRedirect, isRefusal, restAfter } from '../../engines/external/rest.ts';
import type { Worker } from '../../workers/worker.ts';
import type { Arrival } from '../arrive/arrival.ts';
import type { Deadline } from '../arrive/deadline.ts';
import { hasAnother } from '../choose/external.ts';
import type { Runtime } from '../runtime.ts';
import type { Call } from '../understand/read-call.ts';
import { Attempt, retryAfterMs, type Head } from './attempt.ts';
import { externalRequest } from './external-request.ts';
import {
  clientLeft,
  firstOf,
  settleFirst,
  without,
  type Again,
  type First,
  type Sent,
  type Step,
} from './settle.ts';

/** Sends the whole request to the provider that a rule leads to, and settles what comes of it. */
export async function askExternal(
  rt: Runtime,
  arrival: Arrival,
  call: Call,
  deadline: Deadline,
  step: Step,
): Promise<Again> {
  const { put } = step;
  const { worker, reason } = step.leg;
  const made = await externalRequest(rt, arrival, put?.said.call ?? call, worker);
  try {
    if (arrival.client.gone) throw clientLeft();
    arrival.times.dispatched = rt.clock.now();
    noteSent(rt, arrival, call, { worker, removed: made.removed });
    rt.metrics.externalRequestsTotal.with(nameOf(worker), reason).inc();
    const attempt = new Attempt(
      rt,
      rt.clientOf(worker),
      made.request,
      (status) => isRefusal(status) || isRedirect(status),
    );
    step.outcome.started(attempt, put?.said.answer !== undefined);
    deadline.covers(attempt);
    const first = await firstOf(attempt, arrival);
    noteRest(rt, worker, first);
    return await settle(rt, arrival, call, { ...step, attempt, letGo: made.release }, first);
  } finally {
    made.release();
  }
}

/** An answer about the router is not the client's; a provider that wants to be left alone gives way to whoever is next. */
async function settle(rt: Runtime, arrival: Arrival, call: Call, sent: Sent, first: First): Promise<Again> {
  if (first.kind !== 'refused') return settleFirst(rt, arrival, call, sent, cleaned(first));
  const { attempt, outcome, retry, leg } = sent;
  const { status } = first.head;
  const isOurs = isRefusal(status) || isRedirect(status);
  if (!isOurs && status !== 429) return settleFirst(rt, arrival, call, sent, cleaned(first));
  const next = without(sent);
  if (hasAnother(rt, call, next.tried) && retry.elsewhere()) {
    outcome.answered(status);
    attempt.abort();
    return next;
  }
  // The same one again would say the same again: what it said is the answer.
  if (!isOurs) return settleFirst(rt, arrival, call, sent, { ...cleaned(first), kind: 'begun' });
  outcome.answered(status);
  attempt.abort();
  const what = isRedirect(status) ? 'answers with a redirect, which is not followed' : 'refuses the router';
  throw new RouterError('external_refused', `the external backend ${nameOf(leg.worker)} ${what} (${status})`);
}

/** What is said of the operator's account is not for clients. */
function cleaned<T extends First>(first: T): T {
  if (!('head' in first)) return first;
  const head: Head = first.head;
  return { ...first, head: { ...head, headers: handedOn(head.headers) } };
}

function noteSent(
  rt: Runtime,
  arrival: Arrival,
  { external }: Call,
  { worker, removed }: { readonly worker: Worker; readonly removed: readonly string[] },
): void {
  // One that stands in for the fleet's is not what the fleet would say: nobody else is given it as that.
  if (external?.when !== 'always') arrival.copy = undefined;
  arrival.decision.external = {
    backend: nameOf(worker),
    ...(external?.rule !== undefined && { rule: external.rule }),
    ...(removed.length > 0 && { removed }),
  };
  if (removed.length > 0) rt.metrics.externalFieldsRemovedTotal.with(nameOf(worker)).inc();
}

/** It is left alone for as long as it says. */
function noteRest(rt: Runtime, worker: Worker, first: First): void {
  if (first.kind !== 'begun' && first.kind !== 'refused') return;
  const { status, headers } = first.head;
  const now = rt.clock.now();
  const restMs = restAfter(status, headers, retryAfterMs(headers, rt.clock.wall()));
  const backend = nameOf(worker);
  if (isRefusal(status) && rt.providersSaid.isDue(`${backend} ${status}`))
    rt.log.error(
      { backend, status, rests_secs: restMs / 1000 },
      'the external backend refuses the router: look at its key and account',
    );
  if (restMs <= 0) return;
  rt.coolDowns.begin(worker, now + restMs, status);
  rt.metrics.externalCoolDownsTotal.with(backend, String(status)).inc();
}

function nameOf({ id, traits }: Worker): string {
  return traits.external?.name ?? id;
}
