import { RouterError } from '../../base/errors.ts';
import { StreamedBody } from '../../http/body.ts';
import { ownLocations } from '../answer/own-locations.ts';
import { relay, type RelayEnd } from '../answer/relay.ts';
import { answerEdit, type AnswerEdit } from '../answer/response-edit.ts';
import type { Arrival } from '../arrive/arrival.ts';
import type { Leg } from '../choose/leg.ts';
import type { Tries } from '../choose/pair.ts';
import type { Runtime } from '../runtime.ts';
import { letGoOfBody, type Call } from '../understand/read-call.ts';
import type { Attempt, Failure, FirstResult, Head } from './attempt.ts';
import type { LegOutcome } from './leg-outcome.ts';
import type { RetryDecision } from './retry.ts';
import { relayTunnel } from './tunnel.ts';
import type { Said, Wording } from './wording.ts';

/** One worker's part in an attempt, and what is known of the attempts before. */
export interface Step {
  readonly leg: Leg;
  readonly outcome: LegOutcome;
  readonly retry: RetryDecision;
  readonly tries: Tries;
  /** Where there is more than one way to put the request. */
  readonly put?: Put;
}

/** How it was put in this attempt. */
export interface Put {
  readonly wording: Wording;
  readonly said: Said;
}

/** The same, sent. */
export interface Sent extends Step {
  readonly attempt: Attempt;
  /** What the client is told otherwise than by this worker. */
  readonly pd?: AnswerEdit['pd'];
  /** What is held beside the client's body is let go with it. */
  readonly letGo?: () => void;
}

/** What is known now that the request is to be tried again; undefined: the client has its answer. */
export type Again = Tries | undefined;

export type First = FirstResult | { readonly kind: 'client_left' };

/** The attempt's first result, or word that the client is gone: then the worker's connection is cut within the same tick. */
export function firstOf(attempt: Attempt, { client }: Arrival): Promise<First> {
  return new Promise((resolve) => {
    client.onGone(() => {
      attempt.abort();
      resolve({ kind: 'client_left' });
    });
    attempt.onFirst((first) => {
      client.onGone(undefined);
      resolve(first);
    });
  });
}

/** Decides what the first sign of the worker means for the client. */
export function settleFirst(
  rt: Runtime,
  arrival: Arrival,
  call: Call,
  sent: Sent,
  first: First,
): Again | Promise<Again> {
  const { attempt, outcome, retry } = sent;
  switch (first.kind) {
    case 'client_left':
      outcome.gaveUp();
      attempt.abort();
      throw clientLeft();
    case 'failed':
      return settleFailure(call, sent, first.failure);
    case 'refused':
      outcome.answered(first.head.status);
      if (!retry.afterStatus(first.head.status, first.retryAfterMs))
        return hand(rt, arrival, call, sent, first.head);
      attempt.abort();
      return without(sent);
    case 'begun':
      outcome.answered(first.head.status);
      return hand(rt, arrival, call, sent, first.head);
    case 'upgraded':
      outcome.upgraded(first.head.status);
      return relayTunnel(rt, arrival, first.head, first.socket).then(() => undefined);
  }
}

/** Nothing of it has reached the client, who gets another answer or hears of it. */
export function settleFailure(call: Call, step: Step, failure: Failure): Again {
  step.outcome.failed(failure);
  if (failure.code !== 'deadline_exceeded' && step.retry.afterFailure(failure)) return without(step);
  throw failureFor(call, failure);
}

/** The client gets this answer, unless it turns out that there is nothing to hand on. */
export async function hand(
  rt: Runtime,
  arrival: Arrival,
  call: Call,
  sent: Sent,
  head: Head,
): Promise<Again> {
  const { attempt, outcome, leg, put } = sent;
  const { end, tap } = await relay(rt, arrival, attempt, ownLocations(rt.registry, head, leg.worker), {
    onHead: () => {
      if (head.status < 400) blame(rt, sent.tries);
      letGoOfBody(call);
      put?.wording.letGo();
      sent.letGo?.();
    },
    onFirstToken: (now) => {
      outcome.firstToken(now);
    },
    edit: answerEdit(rt, arrival, call, sent.pd, put?.said.answer),
  });
  if (end.kind === 'broken' && end.isUnseen) return settleFailure(call, sent, end.failure);
  outcome.relayed(end, tap);
  if (leg.role === 'decode') countBroken(rt, sent, end);
  if (head.status > 299) return undefined;
  const { id } = leg.worker;
  if (arrival.endpoint.resource === 'by_id' && call.resourceId !== undefined)
    rt.owners.found(call.resourceId, id);
  const created = arrival.endpoint.resource === 'create' ? tap.resourceId() : undefined;
  if (created !== undefined) rt.owners.created(created, id, arrival.tenant?.access.name);
  return undefined;
}

/** Somebody has answered: so it was no matter of the prompt that blocks did not come between those who were asked before. */
function blame(rt: Runtime, { unfetched }: Tries): void {
  for (const { prefill, decode } of unfetched) {
    const restMs = rt.pairRests.failed(prefill, decode);
    if (restMs > 0 && rt.settings.pd.fallback === 'whole')
      rt.log.warn(
        { prefill_worker: prefill.id, decode_worker: decode.id, rests_ms: restMs },
        'blocks do not come from one worker to another: the pair rests',
      );
  }
}

function countBroken(rt: Runtime, { leg }: Sent, end: RelayEnd): void {
  if (end.kind === 'broken') rt.metrics.pdStreamErrorsTotal.with(leg.worker.id).inc();
}

/** The worker is not asked again while there are others. */
export function without({ tries, leg }: Step): Tries {
  const pairs = leg.role === 'regular' ? tries.pairs : tries.pairs + 1;
  return { ...tries, pairs, tried: new Set(tries.tried).add(leg.worker.slot) };
}

export function clientLeft(): RouterError {
  return new RouterError('client_closed', 'the client left before the answer began');
}

/** What the client hears: of its own body, where that broke off or was too long while it was being passed on, else of the worker. */
export function failureFor({ body }: Call, { code, message }: Failure): RouterError {
  return (body instanceof StreamedBody ? body.failure : undefined) ?? new RouterError(code, message);
}
