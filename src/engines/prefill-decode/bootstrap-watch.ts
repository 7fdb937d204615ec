import { isDeepStrictEqual } from 'node:util';
import type { Clock, Timer } from '../../base/clock.ts';
import type { KvConnector } from '../../config/settings/pd-settings.ts';
import type { RegistryEvent } from '../../workers/roster.ts';
import type { WorkerRegistry } from '../../workers/registry.ts';
import type { Worker } from '../../workers/worker.ts';
import type { BootstrapAnswer, EngineIds } from './mooncake-bootstrap.ts';

const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 30_000;

export interface BootstrapWatchDeps {
  readonly registry: WorkerRegistry;
  readonly clock: Clock;
  readonly connector: () => KvConnector;
  readonly ask: (worker: Worker) => Promise<BootstrapAnswer>;
  /** After each question. `isNew`: the ids are others than before, or it fails for the first time in a row. */
  readonly onAnswer: (worker: Worker, answer: BootstrapAnswer, isNew: boolean) => void;
}

/** One server that is being asked, or has been. */
interface Question {
  /** As configured. */
  readonly port: number | undefined;
  /** Until the next question; undefined while one is on its way, or none is needed. */
  timer: Timer | undefined;
  isAsking: boolean;
  /** Something has happened since the question that is on its way. */
  isStale: boolean;
  /** `clock.now()` of the last question. */
  askedAt: number;
  pauseMs: number;
  failedBefore: boolean;
  ids: EngineIds | undefined;
}

/**
 * Knows the engines of prefill workers by asking their bootstrap servers: when a worker becomes healthy, after pauses again while there
 * is no answer, and after a transfer failed. An engine that was started anew has another id, and whoever goes by the old one waits for
 * blocks that nobody sends: so ids are forgotten when their worker is no longer healthy.
 */
export class BootstrapWatch {
  readonly #deps: BootstrapWatchDeps;
  /** By base URL: ranks of a server have one bootstrap server. */
  readonly #questions = new Map<string, Question>();
  #unsubscribe: () => void = () => undefined;

  constructor(deps: BootstrapWatchDeps) {
    this.#deps = deps;
  }

  start(): void {
    this.#unsubscribe = this.#deps.registry.onFleet((event) => this.#onEvent(event));
    this.reconfigure();
  }

  stop(): void {
    this.#unsubscribe();
    for (const { timer } of this.#questions.values()) timer?.cancel();
    this.#questions.clear();
  }

  /** Another connector may ask for other workers. */
  reconfigure(): void {
    for (const worker of this.#deps.registry.fleet) {
      const { baseUrl } = worker.spec;
      if (!this.#isWanted(worker)) this.#forget(baseUrl);
      else if (worker.health.healthy && !this.#questions.has(baseUrl)) this.#askSoon(baseUrl);
    }
  }

  #onEvent({ type, worker }: RegistryEvent): void {
    const { baseUrl } = worker.spec;
    switch (type) {
      case 'healthy':
      case 'transfer_failed':
        if (this.#isWanted(worker)) this.#askSoon(baseUrl);
        return;
      case 'unhealthy':
      case 'left':
        if (this.#healthyOf(baseUrl).length === 0) this.#forget(baseUrl);
        return;
      case 'traits':
        this.#onDescribed(worker);
        return;
      default:
    }
  }

  /** The description may come without what was learnt of the worker, or with another port. */
  #onDescribed(worker: Worker): void {
    const { baseUrl } = worker.spec;
    const known = this.#questions.get(baseUrl);
    if (!this.#isWanted(worker)) this.#forget(baseUrl);
    else if (known?.port === worker.traits.bootstrapPort) this.#tell(baseUrl);
    else {
      this.#forget(baseUrl);
      if (worker.health.healthy) this.#askSoon(baseUrl);
    }
  }

  #isWanted({ spec, traits }: Worker): boolean {
    if (traits.role !== 'prefill' || spec.baseUrl.startsWith('unix:')) return false;
    const connector = this.#deps.connector();
    return connector === 'mooncake' || (connector === 'auto' && traits.bootstrapPort !== undefined);
  }

  /** Its ranks become healthy together, and many transfers fail at once: that is one question, a second after the last one at the soonest. */
  #askSoon(baseUrl: string): void {
    const { clock } = this.#deps;
    const question = this.#questions.get(baseUrl) ?? newQuestion(this.#healthyOf(baseUrl)[0]);
    this.#questions.set(baseUrl, question);
    if (question.isAsking) {
      question.isStale = true;
      return;
    }
    if (question.timer) return;
    const waitMs = Math.max(0, question.askedAt + FIRST_PAUSE_MS - clock.now());
    this.#askAfter(waitMs, baseUrl, question);
  }

  #askAfter(delayMs: number, baseUrl: string, question: Question): void {
    question.timer = this.#deps.clock.after(delayMs, () => {
      question.timer = undefined;
      void this.#ask(baseUrl, question);
    });
  }

  async #ask(baseUrl: string, question: Question): Promise<void> {
    const { clock, ask, onAnswer } = this.#deps;
    const [first] = this.#healthyOf(baseUrl);
    if (!first) return;
    question.isAsking = true;
    question.isStale = false;
    question.askedAt = clock.now();
    const answer = await ask(first);
    question.isAsking = false;
    if (this.#questions.get(baseUrl) !== question) return;
    if (answer.kind === 'told') {
      const isNew = !isDeepStrictEqual(question.ids, answer.engineIds);
      question.ids = answer.engineIds;
      question.pauseMs = FIRST_PAUSE_MS;
      question.failedBefore = false;
      this.#tell(baseUrl);
      onAnswer(first, answer, isNew);
      if (question.isStale) this.#askSoon(baseUrl);
      return;
    }
    onAnswer(first, answer, !question.failedBefore);
    question.failedBefore = true;
    this.#askAfter(question.pauseMs, baseUrl, question);
    question.pauseMs = Math.min(LONGEST_PAUSE_MS, 2 * question.pauseMs);
  }

  /** Also when the worker was described anew, without what was learnt of it. */
  #tell(baseUrl: string): void {
    const ids = this.#questions.get(baseUrl)?.ids;
    if (ids) for (const worker of this.#ranksOf(baseUrl)) this.#set(worker, ids);
  }

  #forget(baseUrl: string): void {
    const question = this.#questions.get(baseUrl);
    question?.timer?.cancel();
    this.#questions.delete(baseUrl);
    if (question?.ids) for (const worker of this.#ranksOf(baseUrl)) this.#set(worker, undefined);
  }

  #set(worker: Worker, engineIds: EngineIds | undefined): void {
    const { traits } = worker;
    if (isDeepStrictEqual(traits.kvTransfer?.engineIds, engineIds)) return;
    const kvTransfer = { ...traits.kvTransfer, engineIds };
    this.#deps.registry.setTraits(worker, { ...traits, kvTransfer });
  }

  #healthyOf(baseUrl: string): Worker[] {
    return this.#ranksOf(baseUrl).filter(({ health }) => health.healthy);
  }

  #ranksOf(baseUrl: string): Worker[] {
    return this.#deps.registry.fleet.filter(
      (worker) => worker.spec.baseUrl === baseUrl && worker.traits.role === 'prefill',
    );
  }
}

function newQuestion(worker: Worker | undefined): Question {
  return {
    port: worker?.traits.bootstrapPort,
    ...{ timer: undefined, isAsking: false, isStale: false, askedAt: -Infinity },
    ...{ pauseMs: FIRST_PAUSE_MS, failedBefore: false, ids: undefined },
  };
}
