import { ERRORS, type ErrorCode } from '../../base/errors.ts';
import type { Arrival } from '../arrive/arrival.ts';
import type { Permit } from '../../workers/permit.ts';
import { StreamedBody } from '../../http/body.ts';
import type { Awaited, InFlight } from '../../workers/in-flight.ts';
import type { Attempt, Failure } from './attempt.ts';
import { learnFromUsage } from './learn-from-usage.ts';
import { roundMs, type AttemptRecord } from '../record/decision.ts';
import type { Leg } from '../choose/leg.ts';
import type { Plan } from '../choose/plan.ts';
import type { Call } from '../understand/read-call.ts';
import { recordCached } from '../answer/explain.ts';
import type { RelayEnd } from '../answer/relay.ts';
import type { ResponseTap } from '../answer/response-tap.ts';
import type { PrefillAnswer } from '../../engines/prefill-decode/prefill-answer.ts';
import type { Runtime } from '../runtime.ts';

/** Statuses by which a worker fails its breaker; a 500 counts once per request (a poison prompt must not open the fleet). */
const FAILING_STATUS = new Set([502, 503, 504]);

/** The router's own patience was at an end. */
const GIVEN_UP: ReadonlySet<ErrorCode> = new Set(['first_token_timeout', 'deadline_exceeded']);

/** How a leg is waited for. */
export interface LegFacts {
  /** Whether its answer comes in pieces. */
  readonly streamed: boolean;
  /** Predicted time to its first token, ms; 0 = not known. */
  readonly expectedMs: number;
  /** What another worker told of the prompt, which it has computed for this one. */
  readonly prefill?: { readonly answer: Pick<PrefillAnswer, 'cachedTokens'> | undefined } | undefined;
}

/** Books what one attempt did: its lease, its breaker permit and its line in the record, each closed exactly once. */
export class LegOutcome implements InFlight, Awaited {
  place = -1;
  startedAt: number;
  readonly route: string;
  readonly model: string;
  readonly #rt: Runtime;
  readonly #arrival: Arrival;
  readonly #call: Call;
  readonly #plan: Plan;
  readonly #leg: Leg;
  readonly #facts: LegFacts;
  readonly #record: AttemptRecord;
  #attempt: Attempt | undefined;
  #credited = false;
  /** When its answer ended, monotonic ms; 0 = not yet, or there was none. */
  #endedAt = 0;
  #tunnel = false;

  constructor(rt: Runtime, arrival: Arrival, call: Call, plan: Plan, leg: Leg, facts: LegFacts) {
    this.#rt = rt;
    this.#arrival = arrival;
    this.#call = call;
    this.#plan = plan;
    this.#leg = leg;
    this.#facts = facts;
    this.startedAt = rt.clock.now();
    this.route = arrival.endpoint.route;
    this.model = call.model;
    this.#record = { worker: leg.worker.id, reason: leg.reason, duration_ms: 0 };
    if (leg.role === 'prefill' || leg.role === 'decode') this.#record.role = leg.role;
  }

  get streamed(): boolean {
    return this.#facts.streamed;
  }

  get expectedMs(): number {
    return this.#facts.expectedMs;
  }

  /** Once more where the worker is asked for the same in other words. */
  started(attempt: Attempt, isTranslated = false): void {
    if (isTranslated) this.#record.translated = true;
    const isFirst = this.#attempt === undefined;
    this.#attempt = attempt;
    if (!isFirst) return;
    this.startedAt = this.#rt.clock.now();
    this.#arrival.decision.attempts.push(this.#record);
    this.#leg.worker.inFlight.add(this);
  }

  /** It says that it has no such route: neither a failure nor an answer. */
  unspoken(status: number): void {
    this.#record.status = status;
  }

  get awaited(): Awaited | undefined {
    return this.#attempt?.isAwaited === true && this.#hasAll() ? this : undefined;
  }

  /** Nobody waits for the beginning of the answer any more. */
  gaveUp(): void {
    if (this.#attempt?.isSilent !== true || !this.#hasAll()) return;
    this.#attempt.progress?.gaveUp(this, this.#rt.clock.now());
  }

  /** The worker is drained and the time for that is up. */
  cut(): void {
    this.#attempt?.cut('worker_removed', 'the worker is being taken out of service');
    // Its attempt was over when the tunnel stood.
    if (this.#tunnel) this.#arrival.tunnel?.socket.destroy();
  }

  failed(failure: Failure): void {
    const { permit, worker } = this.#leg;
    this.#record.error = failure.code;
    if (GIVEN_UP.has(failure.code)) this.gaveUp();
    if (ERRORS[failure.code].source !== 'worker' || this.#clientsFault()) return;
    this.#rt.policies.failedOn(worker.slot);
    if (permit.failure()) this.#count('failure');
    if (failure.code === 'connect_failed') this.#rt.registry.reportUnreachable(worker);
  }

  /** The head is here, and with it the first byte or the decision to pass an error on. */
  answered(status: number): void {
    this.#record.status = status;
    const { permit, worker } = this.#leg;
    // An adapter may have been unloaded since the worker was asked. Of stored responses a 404 says nothing of the model.
    const { model, resourceId } = this.#call;
    if (status === 404 && resourceId === undefined && worker.models.has(model))
      this.#rt.registry.reportModelUnknown(worker);
    if (FAILING_STATUS.has(status) || (status === 500 && this.#isFirst())) {
      this.#rt.policies.failedOn(worker.slot);
      if (permit.failure()) this.#count('failure');
    } else if (
      status < 400 &&
      !worker.breaker.isClosed &&
      worker.breaker.state(this.#rt.clock.now()) === 'half_open'
    ) {
      // The next trial does not wait for the end of a stream.
      this.#succeeded();
    }
  }

  /** A tunnel stands: what is said in it is no matter of the worker's health. */
  upgraded(status: number): void {
    this.#record.status = status;
    this.#tunnel = true;
    this.#succeeded();
  }

  /** The prompt is computed, and what its worker told of it; the answer's worker has yet to fetch it. */
  computed(promptTokens: number | undefined, cachedTokens: number | undefined): void {
    const { lease, uncachedTokens } = this.#leg;
    const told = promptTokens !== undefined && cachedTokens !== undefined;
    lease.firstToken(told ? Math.max(1, promptTokens - cachedTokens) : uncachedTokens);
    this.#endedAt = this.#rt.clock.now();
    this.#succeeded();
    this.#attempt?.progress?.wholeAnswer(this.#endedAt - this.startedAt);
  }

  firstToken(now: number): void {
    const leg = this.#leg;
    this.#arrival.decision.ttft_ms = roundMs(now - this.#arrival.startedAt);
    leg.lease.firstToken(leg.uncachedTokens);
    if (this.streamed) this.#attempt?.progress?.firstToken(now - this.startedAt);
  }

  relayed(end: RelayEnd, tap: ResponseTap): void {
    const { decision } = this.#arrival;
    this.#endedAt = this.#rt.clock.now();
    this.#readUsage(end, tap);
    // What the worker itself said of its answer goes before how its connection ended.
    if (tap.failed) {
      this.#broken('worker_error_event');
    } else if (end.kind === 'broken') {
      this.#broken(end.failure.code);
    } else if (end.kind === 'client_left') {
      decision.outcome = 'client_abort';
      this.gaveUp();
    } else if ((this.#record.status ?? 0) < 400) {
      // Not at the first byte: a worker that breaks every stream it begins would never fail twice in a row.
      this.#succeeded();
      if (!this.streamed) this.#attempt?.progress?.wholeAnswer(this.#endedAt - this.startedAt);
    }
  }

  /** Idempotent end of the attempt, whatever came before. */
  close(): void {
    const leg = this.#leg;
    // Over by now, unless an error of ours has ended it: then nobody would read, or stop, what the worker still sends.
    this.#attempt?.abort();
    leg.permit.cancel();
    leg.worker.inFlight.delete(this);
    leg.lease.release();
    this.#record.duration_ms = roundMs((this.#endedAt || this.#rt.clock.now()) - this.startedAt);
    if (this.#attempt?.resent) this.#record.resent = true;
  }

  /** Of those that do such a part of the work; one worker that does all of it does either. */
  #isFirst(): boolean {
    const { role } = this.#record;
    const { attempts } = this.#arrival.decision;
    return attempts.find((one) => role === undefined || one.role === role) === this.#record;
  }

  #succeeded(): void {
    if (!this.#leg.permit.success()) return;
    this.#credited = true;
    this.#count('success');
  }

  #broken(code: ErrorCode): void {
    const { decision } = this.#arrival;
    const { source } = ERRORS[code];
    decision.outcome = source === 'worker' ? 'worker_broken' : 'router_error';
    decision.error = code;
    this.#record.error = code;
    if (source === 'worker' && this.#brokenPermit().failure()) this.#count('failure');
  }

  /** A success that was counted at the first byte is not taken back: the break is a verdict of its own. */
  #brokenPermit(): Permit {
    const { permit, worker } = this.#leg;
    return this.#credited ? worker.breaker.permit(this.#rt.clock.now()) : permit;
  }

  /** Until a body has been passed on, it is its client that is waited for. */
  #hasAll(): boolean {
    const { body } = this.#call;
    return !(body instanceof StreamedBody) || body.readableEnded;
  }

  #clientsFault(): boolean {
    const { body } = this.#call;
    return body !== undefined && !Buffer.isBuffer(body) && body.failure !== undefined;
  }

  #readUsage(end: RelayEnd, tap: ResponseTap): void {
    const { decision, endpoint } = this.#arrival;
    // What a stored answer tells was taken by the request that made it.
    if (endpoint.resource === 'by_id') return;
    const { ask } = this.#call;
    const usage = tap.usage();
    const estimate = ask.promptTokens();
    // A prompt with text takes more than nothing.
    const told = usage?.promptTokens === 0 && estimate > 0 ? undefined : usage?.promptTokens;
    if (told !== undefined) {
      const answerTokens = end.kind === 'complete' ? usage?.completionTokens : undefined;
      const { prefill } = this.#facts;
      // Of several prompts vLLM tells what was cached of the last one.
      const own = this.#call.prompts === 1 ? usage?.cachedTokens : undefined;
      const cachedTokens = prefill ? prefill.answer?.cachedTokens : own;
      // A provider's tokens are others, and so are its caches.
      if (this.#leg.role !== 'external')
        learnFromUsage(this.#rt, this.#call, this.#plan, {
          promptTokens: told,
          cachedTokens,
          answerTokens,
        });
      if (cachedTokens !== undefined) recordCached(decision, cachedTokens);
    }
    const prompt = told ?? estimate;
    if (prompt > 0) decision.prompt_tokens = prompt;
    // Of half a document nothing is known.
    const counted = end.kind === 'complete' || tap.isStream ? tap.answerTokens() : undefined;
    const completion = usage?.completionTokens ?? counted;
    if (completion !== undefined) decision.completion_tokens = completion;
    const answers = endpoint.tokens === 'prompt_and_answer' || tap.isStream;
    const guessed = told === undefined || (answers && usage?.completionTokens === undefined);
    if (guessed && (prompt > 0 || completion !== undefined)) decision.tokens_estimated = true;
  }

  #count(outcome: 'success' | 'failure'): void {
    this.#rt.metrics.cbOutcomesTotal.with(this.#leg.worker.id, outcome).inc();
  }
}
