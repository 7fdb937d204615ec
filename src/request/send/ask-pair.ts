import type { Arrival } from '../arrive/arrival.ts';
import type { Deadline } from '../arrive/deadline.ts';
import { mayFallBack, type PairLeg } from '../choose/pair.ts';
import { noRoom } from '../../http/body.ts';
import { isEventStream } from '../../http/headers.ts';
import type { Worker } from '../../workers/worker.ts';
import type { Runtime } from '../runtime.ts';
import type { Call } from '../understand/read-call.ts';
import { noteWords, watchEngine } from './ask-worker.ts';
import { Attempt, type Failure } from './attempt.ts';
import type { Handover, Unhanded } from './handover.ts';
import {
  clientLeft,
  failureFor,
  firstOf,
  hand,
  settleFirst,
  without,
  type Again,
  type First,
  type Sent,
  type Step,
} from './settle.ts';
import { workerRequest } from './worker-request.ts';

/** An attempt through two workers; `leg`, `outcome`: of the one that answers. */
export interface PairStep extends Step {
  readonly handover: Handover;
  readonly prefill: PairLeg;
}

/** What vLLM answers where blocks cannot be fetched, and for much else. */
const NOT_FETCHED = 500;

/** A worker that was told where to fetch the prompt's blocks refuses that: the prompt itself another one has taken. */
const REJECTING: ReadonlySet<number> = new Set([400, 422]);

/** What the prompt itself is refused with; anything else may be the prefill worker's alone: a key, a model or an adapter that it lacks. */
const OF_THE_PROMPT: ReadonlySet<number> = new Set([400, 413, 422]);

/** Has one worker compute the prompt and another one answer, and settles what comes of it. Either's failure is the pair's. */
export async function askPair(
  rt: Runtime,
  arrival: Arrival,
  call: Call,
  deadline: Deadline,
  step: PairStep,
): Promise<Again> {
  const { handover, leg, outcome } = step;
  const handed = await handover.ready(deadline);
  if (handed.kind === 'client_left') throw clientLeft();
  if (handed.kind === 'no_room') {
    // One worker alone is sent the client's own bytes.
    if (mayBeWhole(rt, call, step)) return whole(step);
    throw noRoom();
  }
  if (handed.kind !== 'ready') return settleUnhanded(rt, arrival, call, step, handed);
  const { put } = step;
  const request = workerRequest(rt, arrival, put?.said.call ?? call, leg.worker, handed.request);
  const { decodeTimeoutMs } = rt.settings.pd;
  const patienceMs = decodeTimeoutMs > 0 ? decodeTimeoutMs : rt.settings.timeouts.firstTokenMs;
  const attempt = new Attempt(rt, rt.clientOf(leg.worker), request, () => false, patienceMs);
  watchEngine(attempt, arrival, call, leg);
  // vLLM has sent the head of a stream by the time it finds that blocks cannot be fetched: it says so in an event.
  attempt.beginsBehind(arrival.endpoint.preamble ?? 0);
  outcome.started(attempt, put?.said.answer !== undefined);
  deadline.covers(attempt);
  const first = await firstOfPair(attempt, arrival, handover);
  if (first.kind !== 'unhanded' && put?.wording.isUnspoken(leg.worker, put.said, first) === true)
    return inOtherWords({ ...step, attempt }, first);
  if (first.kind !== 'unhanded')
    return settleDecode(rt, arrival, call, { ...step, attempt, letGo: handover.letGo }, first);
  attempt.abort();
  return settleUnhanded(rt, arrival, call, step, first.end);
}

/** One of the two has no such route: both are told the same, so that both are asked anew. Nothing has failed. */
function inOtherWords({ outcome, attempt, retry, tries }: Sent, first: First | Unhanded): Again {
  if ('head' in first) outcome.unspoken(first.head.status);
  attempt.abort();
  retry.again();
  return { ...tries };
}

/** What comes first: a sign of the worker that answers, or that what it waits for will not come. */
function firstOfPair(
  attempt: Attempt,
  arrival: Arrival,
  handover: Handover,
): Promise<First | { readonly kind: 'unhanded'; readonly end: Unhanded }> {
  return new Promise((resolve) => {
    handover.decoding((end) => {
      resolve({ kind: 'unhanded', end });
    });
    void firstOf(attempt, arrival).then(resolve);
  });
}

async function settleDecode(
  rt: Runtime,
  arrival: Arrival,
  call: Call,
  step: PairStep & Sent,
  first: First,
): Promise<Again> {
  const { outcome, handover, attempt, leg } = step;
  if (first.kind === 'begun') {
    if (REJECTING.has(first.head.status) && mayBeWhole(rt, call, step)) {
      outcome.answered(first.head.status);
      rt.metrics.pdErrorsTotal.with('decode_rejected').inc();
      attempt.abort();
      return whole(step);
    }
    if (attempt.beganWithError) {
      attempt.abort();
      const failure = unfetched(leg.worker.id);
      failedBehind(rt, step, failure, 'handover');
      return settlePair(rt, call, suspecting(step), failure);
    }
    noteWords(step, first);
    if (first.head.status < 300) {
      step.put?.wording.answered(step.prefill.leg.worker, step.put.said, first.head.status);
      handover.fetched();
      rt.pairRests.succeeded(step.prefill.leg.worker, leg.worker);
    }
    if (!isEventStream(first.head.headers)) {
      attempt.hold();
      await handover.told();
    }
    if (arrival.client.gone) throw clientLeft();
  } else if (first.kind === 'failed' || first.kind === 'refused') {
    if (first.kind === 'refused') {
      const { status } = first.head;
      const isUnfetched = status === NOT_FETCHED;
      failedBehind(rt, step, statusFailure(leg.worker, status), isUnfetched ? 'handover' : 'decode');
      return settleRefused(rt, arrival, call, isUnfetched ? suspecting(step) : step, first);
    }
    const failure = hinted(first.failure, step.prefill);
    failedBehind(rt, step, failure, 'decode');
    return settlePair(rt, call, step, failure);
  }
  return settleFirst(rt, arrival, call, { ...step, pd: handover }, first);
}

/** The worker that was to answer has not: perhaps, as it looks, for want of the prompt's blocks. */
function failedBehind(rt: Runtime, step: PairStep, failure: Failed, why: 'handover' | 'decode'): void {
  const { leg, prefill } = step;
  rt.metrics.pdDecodeErrorsTotal.with(leg.worker.id).inc();
  rt.metrics.pdErrorsTotal.with(why).inc();
  rt.registry.reportTransferFailed(prefill.leg.worker);
  sayFailed(rt, step, failure);
}

/** The worker that was to compute the prompt has not. */
function failedBefore(rt: Runtime, step: PairStep, failure: Failed): void {
  rt.metrics.pdPrefillErrorsTotal.with(step.prefill.leg.worker.id).inc();
  rt.metrics.pdErrorsTotal.with('prefill').inc();
  sayFailed(rt, step, failure);
}

interface Failed {
  readonly code: string;
  readonly message: string;
}

function statusFailure(worker: Worker, status: number): Failed {
  return { code: String(status), message: `${worker.id} answered ${status}` };
}

/** Each kind of failure once a minute of each pair. */
function sayFailed(rt: Runtime, { leg, prefill }: PairStep, { code, message }: Failed): void {
  const ids = { prefill_worker: prefill.leg.worker.id, decode_worker: leg.worker.id };
  if (!rt.pairsSaid.isDue(`${ids.prefill_worker} ${ids.decode_worker} ${code}`)) return;
  rt.log.warn({ ...ids, connector: prefill.connector.name, reason: message }, 'a pair of workers failed');
}

/** From now on others are taken for the prompt, while there are any; and the pair has failed if somebody else does not. */
function suspecting<S extends PairStep>(step: S): S {
  const { tries, leg } = step;
  const pair = { prefill: step.prefill.leg.worker, decode: leg.worker };
  const isKnown = tries.unfetched.some(
    ({ prefill, decode }) => prefill === pair.prefill && decode === pair.decode,
  );
  return isKnown ? step : { ...step, tries: { ...tries, unfetched: [...tries.unfetched, pair] } };
}

/** Some connectors are known for waiting in vain. */
function hinted(failure: Failure, { connector: { name, hint } }: PairLeg): Failure {
  if (hint === undefined || failure.code !== 'first_token_timeout') return failure;
  return { ...failure, message: `${failure.message}; ${name}: ${hint}` };
}

/** The prompt was not computed, or its blocks cannot be fetched. */
async function settleUnhanded(
  rt: Runtime,
  arrival: Arrival,
  call: Call,
  step: PairStep,
  end: Unhanded,
): Promise<Again> {
  const { handover, prefill, retry, tries } = step;
  const { run } = handover;
  if (!run) throw clientLeft();
  const { outcome, attempt } = run;
  const { leg } = prefill;
  const { put } = step;
  if (put?.wording.isUnspoken(leg.worker, put.said, end) === true)
    return inOtherWords({ ...step, outcome, attempt }, end);
  const sent = { leg, outcome, attempt, retry, tries, letGo: handover.letGo, ...(put && { put }) };
  if (end.kind === 'declined') {
    outcome.answered(end.head.status);
    if (!OF_THE_PROMPT.has(end.head.status)) {
      failedBefore(rt, step, statusFailure(leg.worker, end.head.status));
      if (mayBeWhole(rt, call, sent)) {
        attempt.abort();
        return whole(sent);
      }
    }
    arrival.decision.worker = leg.worker.id;
    return hand(rt, arrival, call, sent, end.head);
  }
  failedBefore(rt, step, end.kind === 'failed' ? end.failure : statusFailure(leg.worker, end.head.status));
  if (end.kind === 'failed') return settlePair(rt, call, sent, end.failure);
  return settleRefused(rt, arrival, call, sent, end);
}

/**
 * Another pair is tried while that is allowed. Where it is not, and what failed is what only pairs have, one worker may do all of it. A
 * worker that says when to come back is heard.
 */
async function settleRefused(
  rt: Runtime,
  arrival: Arrival,
  call: Call,
  sent: Sent,
  { head, retryAfterMs }: Extract<First, { readonly kind: 'refused' }>,
): Promise<Again> {
  const { outcome, attempt, retry } = sent;
  outcome.answered(head.status);
  const isAgain = retry.afterStatus(head.status, retryAfterMs, sent.leg.role === 'prefill');
  const isOfPair = sent.leg.role === 'prefill' || head.status === NOT_FETCHED;
  const isBusy = head.status === 429 && retryAfterMs !== undefined;
  const isWhole = !isAgain && isOfPair && !isBusy && mayAskAgain(call, sent) && mayBeWhole(rt, call, sent);
  if (!isAgain && !isWhole) return hand(rt, arrival, call, sent, head);
  attempt.abort();
  return isAgain ? without(sent) : whole(sent);
}

/** The same where there was no answer. */
function settlePair(rt: Runtime, call: Call, step: Step, failure: Failure): Again {
  step.outcome.failed(failure);
  if (failure.code !== 'deadline_exceeded') {
    if (step.retry.afterFailure(failure, step.leg.role === 'prefill')) return without(step);
    const isOfPair = step.leg.role === 'prefill' || failure.code === 'handover_failed';
    if (isOfPair && mayAskAgain(call, step) && mayBeWhole(rt, call, step)) return whole(step);
  }
  throw failureFor(call, failure);
}

/** Computing a prompt leaves nothing behind; what a worker was to answer it may have stored. */
function mayAskAgain({ retry }: Call, { leg }: Step): boolean {
  return leg.role === 'prefill' || retry !== 'connect';
}

function mayBeWhole(rt: Runtime, call: Call, { tries, retry }: Step): boolean {
  return !tries.whole && mayFallBack(rt, call) && retry.fallBack();
}

function whole({ tries }: Step): Again {
  return { ...tries, whole: true };
}

function unfetched(worker: string): Failure {
  const message = `${worker} answered with an error before its first token: the prompt's blocks did not come to it`;
  return { code: 'handover_failed', message, sent: true };
}
