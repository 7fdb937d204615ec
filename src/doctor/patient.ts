import { isObject, type JsonObject } from '../api/prompt-sink.ts';
import type { Clock } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import type { WorkerSpec } from '../config/settings/settings.ts';
import type { WorkerClient, WorkerRequest } from '../engines/client.ts';
import { collect, type Collected } from '../engines/collect.ts';
import type { Peer } from '../engines/prefill-decode/connector.ts';
import type { BootstrapAnswer } from '../engines/prefill-decode/mooncake-bootstrap.ts';
import { probeHeaders } from '../engines/http/probe.ts';
import { headerOf } from '../http/headers.ts';
import type { TextJobs } from '../tokenize/local/text-jobs.ts';
import type { CacheConfig, EventSource } from '../workers/cache-config.ts';
import type { EventEndpoint } from './event-endpoints.ts';
import type { Expected } from './expected.ts';
import { quote } from './finding.ts';
import type { Turns } from './turns.ts';
import type { KvMetrics } from './kv-metrics.ts';
import type { LmcacheController } from './lmcache-controller.ts';

/** More than any of the routes that are asked answers in its right mind. */
const MAX_ANSWER_BYTES = 8 * 1024 * 1024;

/** What a request of a check came to; of a response also how long it took, from sending to the last byte. */
export type Answer =
  | (Extract<Collected, { kind: 'response' }> & { readonly ms: number })
  | Extract<Collected, { kind: 'failed' }>;

/** What checks find out for those behind them. */
export interface Chart {
  /** `/v1/models`, as it came. */
  cards: readonly JsonObject[];
  /** Whose model the probes ask for. */
  model: string | undefined;
  /** Longest prompt and answer together, tokens. */
  maxModelLen: number | undefined;
  /** The `Date` of an answer, and when it came, wall clock. */
  date: { readonly text: string; readonly atMs: number } | undefined;
  /** Data-parallel engines behind the URL. */
  engines: number;
  /** As the engine says. */
  cache: CacheConfig | undefined;
  /** What it says of KV blocks of other engines. */
  kv: KvMetrics | undefined;
  /** Where the worker says that it publishes events; undefined while it has not been asked, or has no answer. */
  eventSources: readonly EventSource[] | undefined;
  /** Where the events of the probe came from, and the number of the message that named its blocks. */
  heard: { readonly endpoint: EventEndpoint; readonly seq: bigint } | undefined;
}

/** What the probes had the worker compute. */
export interface Cost {
  requests: number;
  prompt_tokens: number;
  completion_tokens: number;
}

export interface PatientDeps {
  readonly spec: WorkerSpec;
  readonly client: WorkerClient;
  readonly expected: Expected;
  readonly clock: Clock;
  readonly random: Random;
  /** Tokenises with what lies here, in a thread of its own, which begins with the first call. */
  readonly text: () => TextJobs;
  /** All that are examined, this one among them. */
  readonly fleet: readonly WorkerSpec[];
  /** Opens connections to LMCache's controller, where one is expected. */
  readonly lmcache: () => LmcacheController;
  /** Opens connections to another one of them. */
  readonly open: (spec: WorkerSpec) => WorkerClient;
  /** Asks a prefill worker's Mooncake for its engines. */
  readonly askBootstrap: (worker: Peer) => Promise<BootstrapAnswer>;
  /** Of all that are examined together. */
  readonly turns: Turns;
  /** Longest time for one check. */
  readonly timeoutMs: number;
}

/** One worker while it is examined: how to ask it, what is known of it so far, and what that has cost. */
export class Patient {
  readonly spec: WorkerSpec;
  readonly expected: Expected;
  readonly clock: Clock;
  readonly random: Random;
  readonly text: () => TextJobs;
  readonly fleet: readonly WorkerSpec[];
  readonly lmcache: () => LmcacheController;
  readonly askBootstrap: PatientDeps['askBootstrap'];
  readonly turns: Turns;
  readonly timeoutMs: number;
  readonly chart: Chart = {
    cards: [],
    model: undefined,
    maxModelLen: undefined,
    date: undefined,
    engines: 1,
    cache: undefined,
    kv: undefined,
    eventSources: undefined,
    heard: undefined,
  };
  readonly cost: Cost = { requests: 0, prompt_tokens: 0, completion_tokens: 0 };
  readonly #deps: PatientDeps;
  readonly #client: WorkerClient;

  constructor(deps: PatientDeps) {
    const { spec, client, expected, clock, random, text, fleet, lmcache, timeoutMs } = deps;
    this.#deps = deps;
    this.askBootstrap = deps.askBootstrap;
    this.turns = deps.turns;
    this.spec = spec;
    this.expected = expected;
    this.clock = clock;
    this.random = random;
    this.text = text;
    this.fleet = fleet;
    this.lmcache = lmcache;
    this.timeoutMs = timeoutMs;
    this.#client = client;
  }

  /** Another worker, of which nothing is known here but how to ask it. To be closed. */
  beside(spec: WorkerSpec): Patient & Disposable {
    const client = this.#deps.open(spec);
    return Object.assign(new Patient({ ...this.#deps, spec, client }), {
      [Symbol.dispose]: () => {
        client.close();
      },
    });
  }

  get(path: string, signal: AbortSignal, headers = probeHeaders(this.spec)): Promise<Answer> {
    return this.#ask({ method: 'GET', path, headers, body: undefined }, signal);
  }

  post(path: string, body: JsonObject, signal: AbortSignal): Promise<Answer> {
    return this.postBytes(path, Buffer.from(JSON.stringify(body)), signal);
  }

  postBytes(path: string, body: Buffer, signal: AbortSignal, more: readonly string[] = []): Promise<Answer> {
    const headers = [...probeHeaders(this.spec), 'content-type', 'application/json', ...more];
    const rank = this.spec.rank ?? (this.chart.engines > 1 ? 0 : undefined);
    // A prompt that is sent twice must find the same engine.
    if (rank !== undefined) headers.push('x-data-parallel-rank', String(rank));
    return this.#ask({ method: 'POST', path, headers, body }, signal);
  }

  async #ask(
    request: Pick<WorkerRequest, 'method' | 'path' | 'headers' | 'body'>,
    signal: AbortSignal,
  ): Promise<Answer> {
    const { clock, timeoutMs } = this;
    const startedAt = clock.now();
    const collected = await collect(this.#client, { ...request, upgrade: undefined, reserved: true }, clock, {
      ...{ timeoutMs, signal },
      maxBytes: MAX_ANSWER_BYTES,
    });
    if (collected.kind === 'failed') return collected;
    this.#noteDate(collected.headers);
    return { ...collected, ms: clock.now() - startedAt };
  }

  /** That of the first answer, so that nothing more is asked for it. */
  #noteDate(headers: readonly string[]): void {
    const text = headerOf(headers, 'date');
    if (text !== undefined) this.chart.date ??= { text, atMs: this.clock.wall() };
  }
}

/** What went wrong, or which status came, for one line. */
export function whatCame(answer: Answer): string {
  if (answer.kind === 'failed') return `${answer.code}: ${quote(answer.message)}`;
  return `status ${String(answer.status)}${reasonIn(answer.body)}`;
}

/** The object that an answer with status 200 holds; else why there is none. */
export function jsonOf(answer: Answer): JsonObject | string {
  if (answer.kind === 'failed' || answer.status !== 200) return whatCame(answer);
  const value = parsed(answer.body);
  return isObject(value) ? value : 'an answer that is no JSON object';
}

/** What vLLM says in the body of an error. */
function reasonIn(body: Buffer): string {
  const value = parsed(body);
  const error = isObject(value) && isObject(value['error']) ? value['error'] : value;
  const message = isObject(error) ? (error['message'] ?? error['detail']) : undefined;
  return typeof message === 'string' ? `: ${quote(message)}` : '';
}

function parsed(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
}
