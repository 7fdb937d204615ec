import type { Clock } from '../base/clock.ts';
import { idsOfAnswer, isUnoffered, mostAnswerBytes } from './token-answer.ts';
import { tokenPaths, tokenRequest, type TokenRequest } from './token-request.ts';
import { MOST_UNDER_WAY, TokenizingServer } from './tokenizing-server.ts';
import type { TokenQuestion } from './tokens.ts';

/** What came of a request to a worker. */
export type WorkerAnswer =
  | { readonly kind: 'response'; readonly status: number; readonly body: Buffer }
  /** `late`: nothing in the time that there was. */
  | { readonly kind: 'failed' | 'late' };

export interface TokenizingWorker {
  readonly spec: { readonly baseUrl: string };
}

export interface WorkerTokenizersDeps<W extends TokenizingWorker> {
  readonly clock: Clock;
  /** Posts to the worker, with its own key, and reads at most `maxBytes`. Never rejects. */
  readonly ask: (
    worker: W,
    request: TokenRequest,
    limits: { timeoutMs: number; maxBytes: number },
  ) => Promise<WorkerAnswer>;
}

export type WorkerTokens =
  | { readonly kind: 'ids'; readonly ids: Uint32Array }
  /** `refused`: the prompt is not to the worker's liking; `slow`: one of its size has just taken too long, and this one was not tried. */
  | { readonly kind: 'busy' | 'unoffered' | 'refused' | 'slow' | 'failed' };

/** Longer than a request waits: what comes later is for the next one that asks the same. */
const ANSWER_MS = 2_000;
/** Workers, or routes, that are tried for one question while it turns out that they do not have it. */
const MOST_TRIES = 3;
/** Servers that have left and were not told of; far more than there are. */
const MOST_SERVERS = 8_192;

/** Has workers tokenise prompts: by their render route, else by `/tokenize`, as far as they have either. */
export class WorkerTokenizers<W extends TokenizingWorker> {
  readonly #deps: WorkerTokenizersDeps<W>;
  /** By base URL. */
  readonly #servers = new Map<string, TokenizingServer>();
  #turn = 0;

  constructor(deps: WorkerTokenizersDeps<W>) {
    this.#deps = deps;
  }

  /** Asks one of these workers, which all serve the model. Never rejects. */
  async tokensOf(question: TokenQuestion, workers: readonly W[]): Promise<WorkerTokens> {
    let tokens: WorkerTokens = { kind: 'unoffered' };
    // One that lacks the route has shown it now: another route of its, or another worker, may have what it takes.
    for (let tries = 0; tries < MOST_TRIES && tokens.kind === 'unoffered'; tries++) {
      const candidate = this.#choose(question, workers);
      if (candidate.kind !== 'worker') return candidate;
      tokens = await this.#ask(candidate.worker, candidate.path, question);
    }
    return tokens;
  }

  /** The same, of this worker alone, however much else it has to do. */
  async tokensBy(worker: W, question: TokenQuestion): Promise<WorkerTokens> {
    const server = this.#serverOf(worker);
    for (const path of tokenPaths(question)) {
      if (!server.offers(path)) continue;
      const tokens = await this.#ask(worker, path, question);
      if (tokens.kind !== 'unoffered') return tokens;
    }
    return { kind: 'unoffered' };
  }

  /** It has begun anew, or says that it is another version. */
  reset({ spec }: TokenizingWorker): void {
    this.#servers.get(spec.baseUrl)?.reset();
  }

  /** Its last worker has left. */
  drop({ spec }: TokenizingWorker): void {
    this.#servers.delete(spec.baseUrl);
  }

  #choose(
    question: TokenQuestion,
    workers: readonly W[],
  ): Candidate<W> | { readonly kind: 'busy' | 'unoffered' | 'slow' } {
    const bytes = question.members.length;
    const paths = tokenPaths(question);
    let best: Candidate<W> | undefined;
    let fewest = MOST_UNDER_WAY;
    let offered = false;
    let isTooLong = false;
    const from = this.#turn++;
    for (let at = 0; at < workers.length && fewest > 0; at++) {
      const worker = workers[(from + at) % workers.length]!;
      const server = this.#serverOf(worker);
      const path = paths.find((each) => server.offers(each));
      if (path === undefined) continue;
      offered = true;
      if (!server.isWell || server.underWay >= fewest) continue;
      if (!server.takes(bytes)) {
        isTooLong = true;
        continue;
      }
      fewest = server.underWay;
      best = { kind: 'worker', worker, path };
    }
    return best ?? { kind: isTooLong ? 'slow' : offered ? 'busy' : 'unoffered' };
  }

  async #ask(worker: W, path: string, question: TokenQuestion): Promise<WorkerTokens> {
    const server = this.#serverOf(worker);
    const request = tokenRequest(path, question);
    if (!request) return { kind: 'refused' };
    server.begin();
    const limits = { timeoutMs: ANSWER_MS, maxBytes: mostAnswerBytes(question) };
    const answer = await this.#deps.ask(worker, request, limits);
    if (answer.kind === 'late') {
      server.late(question.members.length);
      return { kind: 'failed' };
    }
    const tokens = readAnswer(answer);
    if (tokens.kind === 'unoffered') server.lacks(path);
    server.end(tokens.kind);
    return tokens;
  }

  #serverOf({ spec }: W): TokenizingServer {
    const known = this.#servers.get(spec.baseUrl);
    if (known) return known;
    const [oldest] = this.#servers.keys();
    if (this.#servers.size >= MOST_SERVERS && oldest !== undefined) this.#servers.delete(oldest);
    const server = new TokenizingServer(this.#deps.clock);
    this.#servers.set(spec.baseUrl, server);
    return server;
  }
}

interface Candidate<W> {
  readonly kind: 'worker';
  readonly worker: W;
  readonly path: string;
}

function readAnswer(
  answer: WorkerAnswer,
): Extract<WorkerTokens, { kind: 'ids' }> | { readonly kind: 'unoffered' | 'refused' | 'failed' } {
  if (answer.kind !== 'response') return { kind: 'failed' };
  const { status, body } = answer;
  if (isUnoffered(status, body)) return { kind: 'unoffered' };
  const ids = status === 200 ? idsOfAnswer(body) : undefined;
  if (ids) return { kind: 'ids', ids };
  // A 200 without ids is no answer; what is said to be wrong is the request.
  return { kind: status === 200 || status >= 500 ? 'failed' : 'refused' };
}
