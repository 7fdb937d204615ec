import { ByteCollector } from '../../base/byte-collector.ts';
import type { Timer } from '../../base/clock.ts';
import { inPieces } from '../../base/in-pieces.ts';
import {
  MOST_ANSWER_BYTES,
  readingPrefillAnswer,
  type PrefillAnswer,
  type PrefillProblem,
} from '../../engines/prefill-decode/prefill-answer.ts';
import { headerOf, isEventStream } from '../../http/headers.ts';
import type { WorkerRequest } from '../../engines/client.ts';
import { EventStreamTap } from '../answer/response-tap.ts';
import type { Arrival } from '../arrive/arrival.ts';
import type { Plan } from '../choose/plan.ts';
import type { PairLeg } from '../choose/pair.ts';
import type { Call } from '../understand/read-call.ts';
import type { Runtime } from '../runtime.ts';
import { Attempt, type BodyReceiver, type Failure, type FirstResult, type Head } from './attempt.ts';
import { LegOutcome } from './leg-outcome.ts';

/** What the leg that computes the prompt came to. */
export type PrefillEnd =
  | { readonly kind: 'computed'; readonly answer: PrefillAnswer }
  /** The prompt itself is refused: the client is to hear it as it is. */
  | { readonly kind: 'declined'; readonly head: Head }
  | Extract<FirstResult, { readonly kind: 'refused' | 'failed' }>;

/** The leg that computes the prompt, under way: its whole answer is read before anything is made of it. */
export class PrefillRun implements BodyReceiver {
  readonly outcome: LegOutcome;
  /** When its answer was there, monotonic ms; 0 = not yet. */
  endedAt = 0;
  readonly #rt: Runtime;
  readonly #attempt: Attempt;
  readonly #mayStream: boolean;
  readonly #body = new ByteCollector();
  #head: Head | undefined;
  readonly #timer: Timer | undefined;
  /** Where it streams, because it was sent the request as it came. */
  #tap: EventStreamTap | undefined;
  #end: PrefillEnd | undefined;
  #onEnd: ((end: PrefillEnd) => void) | undefined;

  constructor(
    rt: Runtime,
    arrival: Arrival,
    call: Call,
    {
      plan,
      prefill,
      request,
      mayStream,
    }: {
      readonly plan: Plan;
      readonly prefill: PairLeg;
      readonly request: WorkerRequest;
      readonly mayStream: boolean;
    },
  ) {
    const { leg, prediction } = prefill;
    this.#rt = rt;
    this.#mayStream = mayStream;
    const expectedMs = prediction.predictedTtftMs ?? 0;
    this.outcome = new LegOutcome(rt, arrival, call, plan, leg, { streamed: false, expectedMs });
    const { prefillTimeoutMs } = rt.settings.pd;
    const patienceMs = prefillTimeoutMs > 0 ? prefillTimeoutMs : rt.settings.timeouts.firstTokenMs;
    this.#attempt = new Attempt(rt, rt.clientOf(leg.worker), request, () => false, patienceMs);
    this.#attempt.watch(leg.worker.progress, 0);
    this.outcome.started(this.#attempt, call.isTranslated);
    this.#timer = prefillTimeoutMs > 0 ? rt.clock.after(prefillTimeoutMs, this.#onLate) : undefined;
    this.#attempt.onFirst((first) => {
      this.#onFirst(first);
    });
  }

  /** To be handed on, where the prompt was declined; to be covered by the deadline. */
  get attempt(): Attempt {
    return this.#attempt;
  }

  /** Undefined while it is under way. */
  get end(): PrefillEnd | undefined {
    return this.#end;
  }

  /** What is needed of its answer has been taken. */
  letGoOfBytes(): void {
    if (this.#end?.kind !== 'computed') return;
    const { cachedTokens, promptTokens } = this.#end.answer;
    this.#end = computed({ ...NO_BYTES, cachedTokens, promptTokens });
  }

  /** One at a time is told, once. */
  onEnd(callback: ((end: PrefillEnd) => void) | undefined): void {
    if (this.#end) callback?.(this.#end);
    else this.#onEnd = callback;
  }

  onChunk(chunk: Buffer): boolean {
    if (this.#tap) {
      this.#tap.push(chunk);
      return true;
    }
    this.#body.push(chunk);
    if (this.#body.size > MOST_ANSWER_BYTES) {
      this.#attempt.abort();
      this.#settle(broken(`its answer is longer than ${MOST_ANSWER_BYTES} bytes`));
    }
    return true;
  }

  onComplete(): void {
    const coding = headerOf(this.#head?.headers ?? [], 'content-encoding');
    if (coding !== undefined && coding.toLowerCase() !== 'identity') {
      this.#settle(broken(`its answer is encoded (${coding.slice(0, 32)}), which nobody asked for`));
      return;
    }
    if (this.#tap) {
      this.#settle(this.#tap.failed ? broken('it streamed an error') : computed(streamed(this.#tap)));
      return;
    }
    const read = inPieces(readingPrefillAnswer(this.#body.take()));
    const settle = (answer: PrefillAnswer | PrefillProblem): void => {
      this.#settle('problem' in answer ? broken(answer.problem) : computed(answer));
    };
    if (read instanceof Promise) void read.then(settle);
    else settle(read);
  }

  onBroken(failure: Failure): void {
    this.#settle({ kind: 'failed', failure });
  }

  /** An answer that comes byte by byte would take for ever. */
  readonly #onLate = (): void => {
    const { prefillTimeoutMs } = this.#rt.settings.pd;
    const message = `the prefill worker has not answered within ${prefillTimeoutMs / 1000} s (pd.prefill_timeout_secs)`;
    this.#attempt.cut('first_token_timeout', message);
  };

  #onFirst(first: FirstResult): void {
    switch (first.kind) {
      case 'refused':
      case 'failed':
        this.#settle(first);
        return;
      case 'upgraded':
        first.socket.destroy();
        this.#settle(broken('it changed the protocol'));
        return;
      case 'begun':
        this.#head = first.head;
        if (first.head.status === 200) this.#read(first.head);
        else if (first.head.status >= 400) this.#settle({ kind: 'declined', head: first.head });
        else this.#settle(broken(`it answered with status ${first.head.status}`));
    }
  }

  #read({ headers }: Head): void {
    if (this.#mayStream && isEventStream(headers)) this.#tap = new EventStreamTap({ hasId: false });
    this.#attempt.relayTo(this);
  }

  #settle(end: PrefillEnd): void {
    if (this.#end) return;
    this.#timer?.cancel();
    this.#end = end;
    this.endedAt = this.#rt.clock.now();
    if (end.kind === 'computed') {
      this.outcome.answered(200);
      this.outcome.computed(end.answer.promptTokens, end.answer.cachedTokens);
    }
    this.#onEnd?.(end);
    this.#onEnd = undefined;
  }
}

function computed(answer: PrefillAnswer): PrefillEnd {
  return { kind: 'computed', answer };
}

const NO_BYTES = { params: undefined, promptIds: undefined, bytes: Buffer.alloc(0) };

/** Of a stream only its usage is of interest. */
function streamed(tap: EventStreamTap): PrefillAnswer {
  const { cachedTokens, promptTokens } = tap.usage() ?? {};
  return { ...NO_BYTES, cachedTokens, promptTokens };
}

function broken(what: string): PrefillEnd {
  return {
    kind: 'failed',
    failure: { code: 'prefill_bad_answer', message: `the prefill worker: ${what}`, sent: true },
  };
}
