import { Untranslatable } from '../../api/anthropic/untranslatable.ts';
import { RouterError } from '../../base/errors.ts';
import { inPieces } from '../../base/in-pieces.ts';
import { noRoom } from '../../http/body.ts';
import type { Worker } from '../../workers/worker.ts';
import type { AnswerTranslation } from '../answer/translated-answer.ts';
import type { Arrival } from '../arrive/arrival.ts';
import type { Translated } from '../../api/anthropic/translated.ts';
import type { Plan } from '../choose/plan.ts';
import type { Runtime } from '../runtime.ts';
import type { Call } from '../understand/read-call.ts';
import { translating } from './translate-request.ts';

/** No such route here, as servers say it. vLLM says 404 of a model that it does not have, too. */
const NO_ROUTE: ReadonlySet<number> = new Set([404, 405, 501]);
/** Said by who has read the request. */
const HAS_READ: ReadonlySet<number> = new Set([400, 413, 422]);

/** Who takes a chat: vLLM knows more than others do. */
type Reader = 'vllm' | 'anybody';

/** What goes to the workers of one attempt, and what their answer is turned into. */
export interface Said {
  readonly call: Call;
  /** Undefined: the client gets the answer as it is. */
  readonly answer: AnswerTranslation | undefined;
}

/** What came of it, as far as that matters here. */
interface Answered {
  readonly kind: string;
  readonly head?: { readonly status: number };
}

/** Undefined where there is but one way to put a request: nearly always. */
export function wordingOf(rt: Runtime, arrival: Arrival, call: Call): Wording | undefined {
  const { translated } = arrival.endpoint;
  if (translated === undefined || (rt.settings.anthropic === 'pass' && !call.external)) return undefined;
  return Buffer.isBuffer(call.body) ? new Wording(rt, arrival, call, translated) : undefined;
}

/**
 * How a request of Anthropic's API is put to each worker: as it came where the worker has the route, as a chat where it has not. Which of
 * the two holds is learnt from answers: an unknown worker is sent the request as it came, and at once the chat where it says that there is no
 * such route.
 */
export class Wording {
  readonly #rt: Runtime;
  readonly #arrival: Arrival;
  readonly #call: Call;
  readonly #translated: Translated;
  /** One worker has said that there is no such route: the others that are not known are not asked. */
  #isDoubted = false;
  readonly #doubted = new Set<Worker>();
  /** As they were made, by who was to take them. */
  readonly #chats = new Map<Reader, Call>();

  constructor(rt: Runtime, arrival: Arrival, call: Call, translated: Translated) {
    this.#rt = rt;
    this.#arrival = arrival;
    this.#call = call;
    this.#translated = translated;
  }

  /** Two workers of a pair are told the same: one computes the prompt of the other. */
  said(plan: Pick<Plan, 'leg' | 'prefill'>): Said | Promise<Said> {
    // Providers know OpenAI's API alone.
    if (plan.leg.role === 'external') return this.inChat('anybody');
    const workers = [plan.leg.worker, ...(plan.prefill ? [plan.prefill.leg.worker] : [])];
    return this.#isChat(workers) ? this.inChat() : { call: this.#call, answer: undefined };
  }

  #isChat(workers: readonly Worker[]): boolean {
    const { anthropic } = this.#rt.settings;
    if (anthropic !== 'auto') return anthropic === 'translate';
    const has = workers.map((worker) => this.#has(worker));
    return has.includes(false) || (this.#isDoubted && has.includes(undefined));
  }

  /** Throws `untranslatable` and `inflight_bytes_exceeded`. */
  inChat(whom: Reader = 'vllm'): Said | Promise<Said> {
    const chat = this.#chats.get(whom);
    if (chat) return this.#saidIn(chat);
    const { body } = this.#call;
    if (!Buffer.isBuffer(body)) throw new Error('a body that is gone cannot be translated');
    try {
      const made = inPieces(translating(body, this.#translated.as, whom));
      if (!(made instanceof Promise)) return this.#hold(made, whom);
      return made.then((bytes) => this.#hold(bytes, whom), refused);
    } catch (error) {
      return refused(error);
    }
  }

  #hold(bytes: Buffer, whom: Reader): Said {
    const held = this.#rt.bodyBytes.hold(bytes);
    if (!held) throw noRoom();
    this.#arrival.releases.push(held.release);
    const chat: Call = {
      ...this.#call,
      body: held.bytes,
      encoded: undefined,
      target: this.#translated.path,
      isTranslated: true,
      releaseBody: held.release,
    };
    this.#chats.set(whom, chat);
    return this.#saidIn(chat);
  }

  #saidIn(chat: Call): Said {
    const { requestId } = this.#arrival;
    return { call: chat, answer: { as: this.#translated.as, requestId, model: this.#call.model } };
  }

  /** Whether a worker that was sent the request as it came, and of which nothing is known, says that it has no such route. */
  isUnspoken(worker: Worker, said: Said, { head }: Answered): boolean {
    if (!head || !this.refuses(worker, said, head.status)) return false;
    this.#isDoubted = true;
    this.#doubted.add(worker);
    return true;
  }

  /** Whether the status may say so. */
  refuses(worker: Worker, said: Said, status: number): boolean {
    if (this.#rt.settings.anthropic !== 'auto') return false;
    return !said.answer && NO_ROUTE.has(status) && this.#has(worker) === undefined;
  }

  /** The worker has answered. Only who knows the API can judge a request. */
  answered(worker: Worker, said: Said, status: number): void {
    if (status >= 400 && !HAS_READ.has(status)) return;
    if (!said.answer) this.#learn(worker, true);
    else if (this.#doubted.has(worker)) this.#learn(worker, false);
  }

  /** The answer has begun: nothing will be sent again. */
  readonly letGo = (): void => {
    for (const chat of this.#chats.values()) {
      chat.body = undefined;
      chat.releaseBody();
    }
  };

  #has(worker: Worker): boolean | undefined {
    const { ownRoutes } = this.#rt;
    return ownRoutes.has(worker, this.#arrival.endpoint.route, this.#rt.versionOf(worker));
  }

  #learn(worker: Worker, has: boolean): void {
    if (this.#has(worker) === has) return;
    const { ownRoutes, log } = this.#rt;
    const { route } = this.#arrival.endpoint;
    ownRoutes.learn(worker, route, this.#rt.versionOf(worker), has);
    if (!has)
      log.info({ worker: worker.id, route }, 'the worker has no such route: its requests are translated');
  }
}

function refused(error: unknown): never {
  if (error instanceof Untranslatable)
    throw new RouterError('untranslatable', error.message, { param: error.field, cause: error });
  // JSON is read to any depth, but written by recursion.
  if (error instanceof RangeError)
    throw new RouterError('invalid_json', 'the JSON of the body is nested too deeply', { cause: error });
  throw error;
}
