import { RouterError } from '../../base/errors.ts';
import { randomHex } from '../../base/ids.ts';
import { inPieces } from '../../base/in-pieces.ts';
import { decodeBody, makingPrefillBody } from '../../engines/prefill-decode/bodies.ts';
import type { Handoff } from '../../engines/prefill-decode/connector.ts';
import type { PrefillAnswer } from '../../engines/prefill-decode/prefill-answer.ts';
import type { PdEdit } from '../answer/pd-edit.ts';
import type { Arrival } from '../arrive/arrival.ts';
import type { Deadline } from '../arrive/deadline.ts';
import { giveBack } from '../choose/leg.ts';
import type { PairLeg } from '../choose/pair.ts';
import type { Plan } from '../choose/plan.ts';
import { roundMs } from '../record/decision.ts';
import type { Runtime } from '../runtime.ts';
import type { HandoffTerms } from '../understand/handoff.ts';
import type { Call } from '../understand/read-call.ts';
import { PrefillRun, type PrefillEnd } from './prefill-run.ts';
import type { Profiled } from './profiles.ts';
import { workerRequest, type LegRequest } from './worker-request.ts';

/** What the first leg came to, where the second one must not be sent. */
export type Unhanded = Exclude<PrefillEnd, { readonly kind: 'computed' }>;

/** The prompt is computed before anything of the answer: the first leg's answer comes a moment after the second one's at most. */
const MOST_BEHIND_MS = 1000;

const LEFT = { kind: 'client_left' } as const;
/** For what a leg is sent beside the client's own bytes. */
const NO_ROOM = { kind: 'no_room' } as const;
const LET_GO = Buffer.alloc(0);

/** What there is to do now that the first leg is under way. */
export type Handed =
  { readonly kind: 'ready'; readonly request: LegRequest } | typeof LEFT | typeof NO_ROOM | Unhanded;

/**
 * The two legs of one attempt: one worker computes the prompt, and another one, which answers, gets it from there. It knows what the client is
 * told otherwise than by the latter.
 */
export class Handover implements PdEdit {
  readonly #rt: Runtime;
  readonly #arrival: Arrival;
  readonly #call: Call;
  readonly #plan: Plan;
  readonly #prefill: PairLeg;
  #body: Buffer;
  readonly #terms: HandoffTerms;
  readonly #handoff: Handoff;
  readonly #givesBack: (() => void)[] = [];
  readonly #endTransfer: () => void;
  /** Of what is sent, which is held no longer than the client's own bytes. */
  readonly #givesBodiesBack: (() => void)[] = [];
  #run: PrefillRun | undefined;
  #prefillProfile: Profiled | undefined;
  #decodeProfile: Profiled | undefined;
  /** When the second leg was sent, monotonic ms. */
  #decodeAt = 0;
  #isAnswered = false;
  /** Who waits for the end of the first leg although the second one answers. */
  #onTold: (() => void) | undefined;

  constructor(rt: Runtime, arrival: Arrival, call: Call, plan: Plan, prefill: PairLeg) {
    this.#rt = rt;
    this.#arrival = arrival;
    this.#call = call;
    this.#plan = plan;
    this.#prefill = prefill;
    const { body, handoff } = call;
    if (!Buffer.isBuffer(body) || typeof handoff !== 'object')
      throw new Error('there is nothing to hand over');
    this.#body = body;
    this.#terms = handoff;
    // From now on: others choose while this request's bodies are made.
    this.#endTransfer = rt.transfers.begin(prefill.leg.worker, plan.leg.worker);
    this.#handoff = prefill.connector.begin({
      prefill: prefill.leg.worker,
      decode: plan.leg.worker,
      requestId: arrival.requestId,
      randomHex32: () => randomHex(32),
      prompts: call.prompts,
      isChat: arrival.endpoint.tokenRoute === 'chat' || call.isTranslated === true,
    });
  }

  /** The first leg; undefined until it has been sent. */
  get run(): PrefillRun | undefined {
    return this.#run;
  }

  /** Sends the first leg. Resolves when the second one can be sent: beside it, or once the prompt is computed. */
  async ready(deadline: Deadline): Promise<Handed> {
    const run = await this.#sendPrefill();
    if (!(run instanceof PrefillRun)) return run;
    deadline.covers(run.attempt);
    if (this.#handoff.order === 'concurrent') return this.#makeDecode(undefined);
    const end = await this.#ended(run);
    this.#giveBodiesBack();
    if (end.kind !== 'computed') return end;
    const handed = (await this.#arrived()) ?? this.#makeDecode(end.answer);
    this.#letGo(run);
    return handed;
  }

  /** Of the prefill worker's answer only numbers are needed from now on, unless the client wants to know of the prompt's tokens. */
  #letGo(run: PrefillRun): void {
    const bytes = this.answer?.bytes;
    const isKept = this.#terms.ofPrompt && bytes && this.#rt.bodyBytes.hold(bytes);
    if (isKept) this.#givesBack.push(isKept.release);
    else run.letGoOfBytes();
  }

  /** The second leg has been sent. `onFailed`: the first one, beside it, will not bring what it waits for. */
  decoding(onFailed: (end: Unhanded) => void): void {
    this.#decodeAt = this.#rt.clock.now();
    const endedAt = this.#run?.end ? this.#run.endedAt : 0;
    if (endedAt > 0) this.#rt.metrics.pdHandoverSeconds.with().observe((this.#decodeAt - endedAt) / 1000);
    this.#rt.metrics.pdDecodeRequestsTotal.with(this.#plan.leg.worker.id).inc();
    this.#run?.onEnd((end) => {
      this.#record();
      this.#onTold?.();
      if (end.kind === 'computed') {
        if (this.#run && this.#handoff.order === 'concurrent') this.#letGo(this.#run);
      } else if (this.#isAnswered) this.#failedLate(end);
      else onFailed(end);
      if (this.#isAnswered) this.#makeRoom();
    });
  }

  /** The other worker answers already, so that it was of no consequence for this request. */
  #failedLate(end: Unhanded): void {
    const { worker } = this.#prefill.leg;
    this.#rt.metrics.pdPrefillErrorsTotal.with(worker.id).inc();
    this.#rt.metrics.pdErrorsTotal.with('prefill').inc();
    if (end.kind === 'failed') this.#run?.outcome.failed(end.failure);
    else this.#run?.outcome.answered(end.head.status);
  }

  /** The second leg begins to answer: the prompt's blocks have come to it. */
  fetched(): void {
    this.#isAnswered = true;
    const { leg, missingTokens } = this.#prefill;
    const waitedMs = this.#rt.clock.now() - Math.max(this.#decodeAt, this.#run?.endedAt ?? 0);
    const { slot } = this.#plan.leg.worker;
    this.#rt.policies.pairs.fetched(leg.worker.slot, slot, missingTokens, waitedMs / 1000);
    this.#rt.metrics.pdFetchSeconds.with().observe(waitedMs / 1000);
    const { decision } = this.#arrival;
    if (decision.pd) decision.pd.fetch_ms = roundMs(waitedMs);
    this.#endTransfer();
    if (this.#run?.end) this.#makeRoom();
  }

  /** The prefill worker has no part in what is left of the request. */
  #makeRoom(): void {
    this.#run?.outcome.close();
    this.#rt.workerWait.freed();
  }

  /**
   * Resolves when the first leg has ended, of which the answer is to tell, or the client has left; after a moment in any case, since the
   * answer is there.
   */
  async told(): Promise<void> {
    const run = this.#run;
    if (!run || run.end) return;
    const { client } = this.#arrival;
    await new Promise<void>((resolve) => {
      const timer = this.#rt.clock.after(MOST_BEHIND_MS, resolve);
      const stop = (): void => {
        timer.cancel();
        resolve();
      };
      client.onGone(stop);
      this.#onTold = stop;
    });
    this.#onTold = undefined;
    client.onGone(undefined);
  }

  get answer(): PrefillAnswer | undefined {
    const end = this.#run?.end;
    return end?.kind === 'computed' ? end.answer : undefined;
  }

  get cachedTokens(): number | undefined {
    return this.answer?.cachedTokens;
  }

  get alias(): PdEdit['alias'] {
    const { requestId: sent } = this.#handoff;
    // A stored answer is asked for by the id that its worker knows.
    if (sent === undefined || this.#arrival.endpoint.resource === 'create') return undefined;
    return { sent, known: this.#arrival.requestId };
  }

  get prefill(): Buffer | undefined {
    return this.#terms.ofPrompt ? this.answer?.bytes : undefined;
  }

  readonly onUnmerged = (): void => {
    this.#rt.metrics.pdErrorsTotal.with('unmerged').inc();
  };

  /** The answer has begun, so that nothing of the request is sent again. */
  readonly letGo = (): void => {
    this.#body = LET_GO;
    this.#giveBodiesBack();
  };

  /** Idempotent end, whatever came before. */
  close(): void {
    this.#run?.onEnd(undefined);
    if (this.#run) this.#run.outcome.close();
    else giveBack(this.#prefill.leg);
    this.#prefillProfile?.end();
    this.#decodeProfile?.end();
    this.letGo();
    this.#endTransfer();
    for (const release of this.#givesBack.splice(0)) release();
    this.#rt.workerWait.freed();
  }

  #giveBodiesBack(): void {
    for (const release of this.#givesBodiesBack.splice(0)) release();
  }

  async #sendPrefill(): Promise<PrefillRun | typeof LEFT | typeof NO_ROOM> {
    const { prefill: asked, requestId } = this.#handoff;
    const body = this.#hold(await inPieces(makingPrefillBody(this.#body, this.#terms.cap, asked)));
    const [rt, arrival, call] = [this.#rt, this.#arrival, this.#call];
    if (!body) return NO_ROOM;
    if (rt.settings.pd.profile) await this.#profile();
    if (arrival.client.gone) return LEFT;
    const { worker } = this.#prefill.leg;
    // Whoever meets the other one by a name, or announces blocks, must not do so twice.
    const { order, arrival: announced } = this.#handoff;
    const single = order === 'concurrent' || requestId !== undefined || announced !== undefined;
    const leg = { body, requestId, headers: asked.headers, single };
    const request = workerRequest(rt, arrival, call, worker, leg);
    arrival.times.dispatched = rt.clock.now();
    this.#run = new PrefillRun(rt, arrival, call, {
      ...{ plan: this.#plan, prefill: this.#prefill, request },
      mayStream: asked.body === 'same',
    });
    rt.metrics.pdPrefillRequestsTotal.with(worker.id).inc();
    return this.#run;
  }

  /** Both workers are profiled while they work for this request. */
  async #profile(): Promise<void> {
    const { profiles, settings } = this.#rt;
    const { profileTimeoutMs } = settings.pd;
    const { worker } = this.#prefill.leg;
    this.#prefillProfile = profiles.begin(worker, profileTimeoutMs);
    this.#decodeProfile = profiles.begin(this.#plan.leg.worker, profileTimeoutMs);
    await Promise.all([this.#prefillProfile.started, this.#decodeProfile.started]);
  }

  /** The first leg's end; its connection is cut within the tick in which the client leaves. */
  #ended(run: PrefillRun): Promise<PrefillEnd | typeof LEFT> {
    const { client } = this.#arrival;
    return new Promise((resolve) => {
      client.onGone(() => {
        run.outcome.gaveUp();
        run.attempt.abort();
        resolve(LEFT);
      });
      run.onEnd((end) => {
        client.onGone(undefined);
        this.#record();
        resolve(end);
      });
    });
  }

  /** Where blocks are announced apart. Without them the worker that answers computes the prompt itself. */
  async #arrived(): Promise<typeof LEFT | undefined> {
    const { arrival } = this.#handoff;
    const { arrivals, settings } = this.#rt;
    if (!arrival || settings.pd.notices.address === undefined) return undefined;
    const { client } = this.#arrival;
    const waiting = new AbortController();
    client.onGone(() => {
      waiting.abort();
    });
    const end = await arrivals.wait(arrival.key, arrival.times, waiting.signal);
    client.onGone(undefined);
    if (end === 'timeout') this.#unhanded('handover');
    return client.gone ? LEFT : undefined;
  }

  /** What goes to the worker that answers: the client's request, and where the blocks are. */
  #makeDecode(answer: PrefillAnswer | undefined): Handed {
    const { requestId } = this.#handoff;
    const order = this.#handoff.decode(answer);
    if (order.kind === 'ready') {
      const body = this.#hold(decodeBody(this.#body, order.members));
      if (!body) return NO_ROOM;
      return { kind: 'ready', request: { body, requestId, headers: order.headers, single: true } };
    }
    // As of prompts shorter than a block, and of workers that have no connector at all.
    this.#unhanded('no_params');
    return { kind: 'ready', request: { body: this.#body, requestId, headers: [], single: true } };
  }

  #unhanded(why: 'no_params' | 'handover'): void {
    this.#rt.metrics.pdErrorsTotal.with(why).inc();
    const { pd } = this.#arrival.decision;
    if (pd) pd.unhanded = why;
  }

  /** Undefined where there is no room. */
  #hold(bytes: Buffer | undefined): Buffer | undefined {
    if (!bytes) throw new RouterError('invalid_json', 'the body is not a JSON object');
    const held = this.#rt.bodyBytes.hold(bytes);
    if (!held) return undefined;
    this.#givesBodiesBack.push(held.release);
    return held.bytes;
  }

  #record(): void {
    this.#prefillProfile?.end();
    const { pd } = this.#arrival.decision;
    const run = this.#run;
    if (pd && run) pd.prefill_ms = roundMs(run.endedAt - run.outcome.startedAt);
  }
}
