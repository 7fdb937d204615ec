import type { Clock } from '../base/clock.ts';
import type { EmbeddingSettings } from '../config/settings/settings.ts';
import { Breaker, type BreakerStateName } from '../workers/breaker.ts';
import type { Permit } from '../workers/permit.ts';
import { readEmbedding } from './read-embedding.ts';
import type { UnitVector } from './unit-vector.ts';

/** Calls of one thread at once. An engine batches as many, mostly. */
const MOST_AT_ONCE = 256;
/** Three times what the longest vector takes as text. */
const MOST_ANSWER_BYTES = 1024 * 1024;
/** A service that answers with other dimensions so often in a row has another model now. */
const OTHER_MODEL_AFTER = 3;

/**
 * Why there is no vector. `refused`: it answers and has something against the text (a 4xx); `unusable`: what it answers is no vector, or
 * one of other dimensions than before.
 */
export type EmbeddingFailure =
  'timeout' | 'error' | 'refused' | 'unusable' | 'too_large' | 'circuit_open' | 'busy' | 'aborted';

export type Embedding =
  | { readonly kind: 'vector'; readonly vector: UnitVector }
  | { readonly kind: 'failed'; readonly why: EmbeddingFailure; readonly message: string };

export interface EmbeddingLimits {
  readonly timeoutMs: number;
  /** Of the answer. */
  readonly maxBytes: number;
  readonly signal?: AbortSignal;
}

export type EmbeddingAnswer =
  | { readonly kind: 'response'; readonly status: number; readonly body: Buffer }
  /** `code`: `timeout`, `aborted`, `too_large`, `out_of_sockets` or what else went wrong on the way. */
  | { readonly kind: 'failed'; readonly code: string; readonly message: string };

/** Sends one body to where vectors are made and reads the whole answer, within limits. Never rejects. */
export type AskEmbeddings = (body: Buffer, limits: EmbeddingLimits) => Promise<EmbeddingAnswer>;

export interface EmbedderEvents {
  readonly asked: (outcome: 'embedded' | EmbeddingFailure, durationMs: number, message: string) => void;
  readonly breaker: (from: BreakerStateName, to: BreakerStateName) => void;
  /** It has another model than before: vectors of the two cannot be compared. */
  readonly otherModel: (before: number, dimensions: number) => void;
}

export interface EmbedderDeps {
  readonly clock: Clock;
  readonly ask: AskEmbeddings;
  readonly events: EmbedderEvents;
}

/** What the status is about more often than not. */
const HINTS: Readonly<Record<number, string>> = {
  401: ': look at embeddings_api_key',
  403: ': look at embeddings_api_key',
  404: ': look at embeddings_url and embeddings_model',
};

/** Turns texts into vectors of length 1. A service that fails is left alone for a while, and never asked by too many at once. */
export class Embedder {
  readonly #deps: EmbedderDeps;
  readonly #breaker: Breaker;
  #settings: EmbeddingSettings;
  #underWay = 0;
  /** Of the vectors so far; undefined before the first. */
  #dimensions: number | undefined;
  /** Answers in a row that had others. */
  #others = 0;

  constructor(settings: EmbeddingSettings, deps: EmbedderDeps) {
    this.#settings = settings;
    this.#deps = deps;
    this.#breaker = new Breaker(settings.breaker, deps.clock, deps.events.breaker);
  }

  /** @param isSame Whether it is the service and model of before. */
  reconfigure(settings: EmbeddingSettings, isSame: boolean): void {
    this.#settings = settings;
    this.#breaker.reconfigure(settings.breaker);
    if (isSame) return;
    this.#dimensions = undefined;
    this.#others = 0;
  }

  get settings(): EmbeddingSettings {
    return this.#settings;
  }

  /** Never rejects, and resolves within the time. */
  async embed(text: string, timeoutMs: number, signal?: AbortSignal): Promise<Embedding> {
    const { clock, ask, events } = this.#deps;
    const from = clock.now();
    if (!this.#breaker.admits(from)) return this.#skipped('circuit_open', 'it failed too often in a row');
    if (this.#underWay >= MOST_AT_ONCE)
      return this.#skipped('busy', `${MOST_AT_ONCE} texts are under way to it`);
    const permit = this.#breaker.permit(from);
    this.#underWay += 1;
    const { model } = this.#settings;
    const body = Buffer.from(JSON.stringify({ model, input: text }));
    const answer = await ask(body, { timeoutMs, maxBytes: MOST_ANSWER_BYTES, ...(signal && { signal }) });
    this.#underWay -= 1;
    const embedding = this.#judge(answer, permit);
    const [outcome, message] =
      embedding.kind === 'vector' ? (['embedded', ''] as const) : [embedding.why, embedding.message];
    events.asked(outcome, clock.now() - from, message);
    return embedding;
  }

  #skipped(why: 'circuit_open' | 'busy', message: string): Embedding {
    this.#deps.events.asked(why, 0, message);
    return failed(why, message);
  }

  #judge(answer: EmbeddingAnswer, permit: Permit): Embedding {
    if (answer.kind === 'failed') return blame(answer, permit);
    const { status, body } = answer;
    if (status !== 200) {
      const isAboutText = status >= 400 && status < 500 && !ABOUT_SERVICE.has(status);
      if (isAboutText) permit.success();
      else permit.failure();
      return failed(
        isAboutText ? 'refused' : 'error',
        `it answered with status ${status}${HINTS[status] ?? ''}`,
      );
    }
    const read = readEmbedding(body);
    if (read.kind === 'unusable') {
      permit.failure();
      return failed('unusable', `its answer ${read.problem}`);
    }
    return this.#sameSpace(read.vector, permit);
  }

  #sameSpace(vector: UnitVector, permit: Permit): Embedding {
    const { length } = vector;
    const before = (this.#dimensions ??= length);
    this.#others = length === before ? 0 : this.#others + 1;
    if (this.#others === 0) {
      permit.success();
      return { kind: 'vector', vector };
    }
    if (this.#others < OTHER_MODEL_AFTER) {
      permit.failure();
      return failed('unusable', `its answer has ${length} dimensions, and those before had ${before}`);
    }
    this.#dimensions = length;
    this.#others = 0;
    permit.success();
    this.#deps.events.otherModel(before, length);
    return { kind: 'vector', vector };
  }
}

/** Not about the text: no such model or route, not let in, or asked too often. */
const ABOUT_SERVICE: ReadonlySet<number> = new Set([401, 403, 404, 405, 408, 429]);

function blame(
  { code, message }: Extract<EmbeddingAnswer, { kind: 'failed' }>,
  permit: Permit,
): Extract<Embedding, { kind: 'failed' }> {
  // That there was no socket or worker, or nobody waits any more, says nothing of who would have made it.
  if (NOT_ITS_DOING.has(code)) permit.cancel();
  else permit.failure();
  return failed(FAILURES[code] ?? 'error', message);
}

const NOT_ITS_DOING: ReadonlySet<string> = new Set(['aborted', 'out_of_sockets', 'no_worker']);
const FAILURES: Readonly<Record<string, EmbeddingFailure>> = {
  timeout: 'timeout',
  aborted: 'aborted',
  too_large: 'too_large',
};

function failed(why: EmbeddingFailure, message: string): Extract<Embedding, { kind: 'failed' }> {
  return { kind: 'failed', why, message };
}
