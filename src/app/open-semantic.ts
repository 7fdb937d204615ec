import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import type { ThreadPart } from '../base/thread-part.ts';
import type {
  EmbeddingSettings,
  SemanticCacheSettings,
  SemanticSettings,
} from '../config/settings/settings.ts';
import { collect } from '../engines/collect.ts';
import type { PoolSettings } from '../engines/http/connection-pool.ts';
import { HttpWorkerClient } from '../engines/http/http-client.ts';
import type { OutboundSockets } from '../engines/http/outbound-sockets.ts';
import type { Log } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';
import type { AnswersByMeaning } from '../request/runtime.ts';
import { startHelper } from '../helper-threads/helper-thread.ts';
import { ByteBudget } from '../base/byte-budget.ts';
import type { AnswersOf } from '../response-cache/answer-key.ts';
import type { Flushed } from '../response-cache/answer-store.ts';
import { MemoryAnswers } from '../response-cache/semantic/memory-answers.ts';
import { SharedAnswers } from '../response-cache/semantic/shared-answers.ts';
import type { RedisLinks } from '../redis/redis-links.ts';
import { answerSemantic, SemanticAnswersOfThread } from '../response-cache/semantic/threads-semantic.ts';
import { askOwnModel } from '../request/send/ask-own-model.ts';
import type { Runtime } from '../request/runtime.ts';
import { RoundRobinPolicy } from '../routing/policies/round-robin.ts';
import { CentroidBuilder } from '../semantic/centroid-builder.ts';
import type { CentroidSource } from '../semantic/centroids.ts';
import { Embedder, type AskEmbeddings } from '../semantic/embedder.ts';
import type { Meaning } from '../semantic/meaning.ts';
import { showSemanticEvents, type SemanticEvents } from '../semantic/semantic-events.ts';
import { answerAsking, askThroughThreads } from '../semantic/threads-asking.ts';
import { CentroidsOfThread, showCentroids } from '../semantic/threads-centroids.ts';

interface Parts {
  readonly random: Random;
  readonly part: ThreadPart;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly sockets: OutboundSockets;
  readonly pool: PoolSettings;
  /** Of this thread; not asked for before the start. */
  readonly links: () => RedisLinks;
  /** That of now: for who asks workers of the router's own. */
  readonly runtime: () => Runtime;
}

/** What this thread has to compare texts by their meaning. */
export interface OpenSemantic extends Meaning {
  /** Answers that are found by meaning, where they are configured. */
  readonly byMeaning: AnswersByMeaning | undefined;
  /** How many there are. In control. */
  readonly kept: number;
  /** Forgets such answers. In control. */
  flush(whose: AnswersOf): Promise<Flushed>;
  /** To be called once workers can be asked. */
  start(): void;
  reconfigure(settings: SemanticSettings): void;
  close(): Promise<void>;
}

/** Of each thread, where no other cache counts them. */
const MOST_COPIED_BYTES = 64 * 1024 * 1024;

/** Each thread asks for the vectors of its own requests; the examples of clusters control asks for, for all of them. */
export function openSemantic(settings: SemanticSettings, parts: Parts): OpenSemantic {
  return new Semantic(settings, parts);
}

class Semantic implements OpenSemantic {
  readonly clusters: CentroidSource;
  readonly turns: RoundRobinPolicy;
  readonly #parts: Parts;
  readonly #events: SemanticEvents;
  readonly #askOwn: AskEmbeddings;
  readonly #ofThread: SemanticAnswersOfThread | undefined;
  readonly #builder: CentroidBuilder | undefined;
  #settings: SemanticSettings;
  #embedder: Embedder | undefined;
  #service: HttpWorkerClient | undefined;
  #started = false;
  readonly #copies = new ByteBudget(MOST_COPIED_BYTES);
  /** Undefined in a request thread. */
  #memory: MemoryAnswers | undefined;
  #shared: SharedAnswers | undefined;

  constructor(settings: SemanticSettings, parts: Parts) {
    const { part, clock, metrics, log } = parts;
    this.#parts = parts;
    this.#settings = settings;
    this.turns = new RoundRobinPolicy(parts);
    this.#events = showSemanticEvents(metrics, log);
    let tell: ReturnType<typeof showCentroids> = () => undefined;
    this.#askOwn =
      part.kind === 'control'
        ? askThroughThreads(part.channels)
        : (body, limits) => askOwnModel(parts.runtime())(body, limits);
    if (part.kind === 'request') {
      this.clusters = new CentroidsOfThread(part.channel);
      answerAsking(part.channel, this.#askOwn);
      this.#ofThread = new SemanticAnswersOfThread(part.channel);
    } else {
      const { centroids } = this.#events;
      this.clusters = this.#builder = new CentroidBuilder({
        clock,
        embed: (text, timeoutMs, signal) => this.#embedExample(text, timeoutMs, signal),
        events: {
          ...centroids,
          changed: (now) => {
            centroids.changed(now);
            tell(now);
          },
        },
      });
      if (part.kind === 'control') tell = showCentroids(part.channels, () => this.clusters);
    }
    this.#embedder = this.#open(settings.embeddings);
    this.#keepAnswers(settings.cache);
    this.#showAnswers();
    if (part.kind === 'control') answerSemantic(part.channels, () => this.#shared ?? this.#memory);
  }

  get byMeaning(): AnswersByMeaning | undefined {
    const { part } = this.#parts;
    const answers = part.kind === 'request' ? this.#ofThread : (this.#shared ?? this.#memory);
    return answers && this.#settings.cache && { answers, copies: this.#copies };
  }

  get kept(): number {
    return this.#memory?.size.entries ?? 0;
  }

  async flush(whose: AnswersOf): Promise<Flushed> {
    return (await this.#shared?.flush(whose)) ?? { count: this.#memory?.flush(whose) ?? 0 };
  }

  get embedder(): Embedder | undefined {
    return this.#embedder;
  }

  start(): void {
    this.#started = true;
    this.#builder?.reconfigure(this.#settings.clusters, true);
    void this.#share();
  }

  reconfigure(settings: SemanticSettings): void {
    const before = this.#settings;
    this.#settings = settings;
    const isSame = isSameSpace(before.embeddings, settings.embeddings);
    if (!isSame || (this.#embedder && !settings.embeddings)) this.#hangUp();
    if (this.#embedder && settings.embeddings) this.#embedder.reconfigure(settings.embeddings, isSame);
    else this.#embedder = this.#open(settings.embeddings);
    if (!isSame) this.#memory?.flush(EVERYBODYS);
    this.#keepAnswers(settings.cache);
    if (!(isSame && isDeepStrictEqual(before.cache, settings.cache))) void this.#share();
    if (this.#started && !(isSame && isDeepStrictEqual(before.clusters, settings.clusters)))
      this.#builder?.reconfigure(settings.clusters, isSame);
  }

  async close(): Promise<void> {
    this.#builder?.close();
    this.#hangUp();
    this.#started = false;
    await Promise.all([this.#memory?.close(), this.#shared?.close()]);
  }

  /** With replicas, where that is configured. */
  async #share(): Promise<void> {
    const { clock, metrics, links } = this.#parts;
    const before = this.#shared;
    this.#shared = undefined;
    const { cache, embeddings } = this.#settings;
    if (this.#started && cache?.redis && embeddings && this.#memory)
      this.#shared = new SharedAnswers(cache, {
        ...{ clock, memory: this.#memory, secret: cache.secret, model: embeddings.model },
        link: links().open(cache.redis),
        onHeard: (outcome) => {
          metrics.semanticCacheHeardTotal.with(outcome).inc();
        },
      });
    await before?.close();
  }

  /** Control keeps them, for all threads. */
  #keepAnswers(settings: SemanticCacheSettings | undefined): void {
    const { part, clock, log, metrics } = this.#parts;
    if (part.kind === 'request') return;
    if (!settings) {
      void this.#memory?.close();
      this.#memory = undefined;
    } else if (this.#memory) this.#memory.reconfigure(settings);
    else
      this.#memory = new MemoryAnswers(settings, {
        clock,
        startHelper: (helper) => startHelper({ ...helper, clock, log, metrics }),
        onLooked: (outcome) => {
          metrics.semanticCacheLookupsTotal.with(outcome).inc();
        },
      });
  }

  #showAnswers(): void {
    const { metrics } = this.#parts;
    metrics.semanticCacheEntries.onCollect((family) => {
      if (this.#memory) family.with().set(this.#memory.size.entries);
    });
    metrics.semanticCacheBytes.onCollect((family) => {
      if (this.#memory) family.with().set(this.#memory.size.bytes);
    });
  }

  #open(settings: EmbeddingSettings | undefined): Embedder | undefined {
    if (!settings) return undefined;
    const { otherModel } = this.#events.embedder;
    return new Embedder(settings, {
      clock: this.#parts.clock,
      ask: (body, limits) => this.#ask(body, limits),
      events: {
        ...this.#events.embedder,
        otherModel: (before, dimensions) => {
          otherModel(before, dimensions);
          this.clusters.otherSpace(dimensions);
          // Those of others are of their own model's, and not read any more.
          this.#memory?.flush(EVERYBODYS);
        },
      },
    });
  }

  #embedExample: Embedder['embed'] = async (text, timeoutMs, signal) =>
    (await this.#embedder?.embed(text, timeoutMs, signal)) ?? {
      ...{ kind: 'failed', why: 'aborted', message: 'nobody wants vectors any more' },
    };

  readonly #ask: AskEmbeddings = (body, limits) => {
    const address = this.#settings.embeddings?.address;
    if (!address) return this.#askOwn(body, limits);
    const { clock, sockets, pool } = this.#parts;
    this.#service ??= new HttpWorkerClient({ baseUrl: address.base }, pool, {
      clock,
      sockets,
      peer: 'embedder',
    });
    const headers = ['user-agent', 'vllm-router', 'content-type', 'application/json'];
    headers.push('accept', 'application/json', 'accept-encoding', 'identity');
    if (address.authorization !== undefined) headers.push('authorization', address.authorization);
    const request = { method: 'POST', path: address.path, headers, body, upgrade: undefined };
    return collect(this.#service, request, clock, limits);
  };

  /** What is under way at another address goes on. */
  #hangUp(): void {
    this.#service?.close();
    this.#service = undefined;
  }
}

const EVERYBODYS: AnswersOf = { model: undefined, tenant: undefined };

/** Whether vectors of the two can be compared, as far as is known. */
function isSameSpace(left: EmbeddingSettings | undefined, right: EmbeddingSettings | undefined): boolean {
  return (
    left?.model === right?.model &&
    left?.address?.base === right?.address?.base &&
    left?.address?.path === right?.address?.path
  );
}
