import type { Clock, Timer } from '../base/clock.ts';
import type { WorkerRegistry } from '../workers/registry.ts';
import type { Worker } from '../workers/worker.ts';
import type { SourcesAnswer } from './http/event-sources.ts';

const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 60_000;

export interface EventSourceWatchDeps {
  readonly registry: WorkerRegistry;
  readonly clock: Clock;
  readonly ask: (worker: Worker) => Promise<SourcesAnswer>;
}

/** One server that has not answered yet. */
interface Question {
  /** Undefined while the question is on its way. */
  timer: Timer | undefined;
  pauseMs: number;
}

/**
 * Asks each server that becomes healthy where it publishes the events of its caches: once, and after pauses again where it does not
 * answer. One that was gone and comes back may have been started in another way, and is asked anew.
 */
export class EventSourceWatch {
  readonly #deps: EventSourceWatchDeps;
  /** By base URL. */
  readonly #questions = new Map<string, Question>();
  #unsubscribe: () => void = () => undefined;

  constructor(deps: EventSourceWatchDeps) {
    this.#deps = deps;
  }

  start(): void {
    this.#unsubscribe = this.#deps.registry.onFleet(({ type, worker }) => {
      if (type === 'healthy') this.#begin(worker.spec.baseUrl);
    });
  }

  stop(): void {
    this.#unsubscribe();
    for (const { timer } of this.#questions.values()) timer?.cancel();
    this.#questions.clear();
  }

  /** Its ranks become healthy together, and are asked for with one question. */
  #begin(baseUrl: string): void {
    if (this.#questions.has(baseUrl)) return;
    const question: Question = { timer: undefined, pauseMs: FIRST_PAUSE_MS };
    this.#questions.set(baseUrl, question);
    // Its other ranks are reported in this turn.
    queueMicrotask(() => void this.#ask(baseUrl, question));
  }

  #askAfter(delayMs: number, baseUrl: string, question: Question): void {
    question.timer = this.#deps.clock.after(delayMs, () => {
      question.timer = undefined;
      void this.#ask(baseUrl, question);
    });
  }

  async #ask(baseUrl: string, question: Question): Promise<void> {
    if (this.#questions.get(baseUrl) !== question) return;
    const [first] = this.#healthyOf(baseUrl);
    const answer = first && (await this.#deps.ask(first));
    if (this.#questions.get(baseUrl) !== question) return;
    if (!answer) this.#questions.delete(baseUrl);
    else if (answer.kind === 'failed') {
      this.#askAfter(question.pauseMs, baseUrl, question);
      question.pauseMs = Math.min(LONGEST_PAUSE_MS, 2 * question.pauseMs);
    } else {
      this.#questions.delete(baseUrl);
      const told = answer.kind === 'told' ? answer.sources : undefined;
      for (const worker of this.#healthyOf(baseUrl)) {
        const { rank } = worker.spec;
        const its = rank === undefined ? told : told?.filter((source) => source.rank === rank);
        this.#deps.registry.setEventSources(worker, its);
      }
    }
  }

  #healthyOf(baseUrl: string): Worker[] {
    const { workers } = this.#deps.registry;
    return workers.filter(({ spec, health }) => spec.baseUrl === baseUrl && health.healthy);
  }
}
