import { ByteBudget } from '../base/byte-budget.ts';
import type { Clock } from '../base/clock.ts';
import type { KeptAnswers } from '../admin/stores-view.ts';
import type { ThreadPart } from '../base/thread-part.ts';
import type { AnswerCacheSettings } from '../config/settings/answer-cache.ts';
import type { Log } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';
import type { RedisLinks } from '../redis/redis-links.ts';
import type { AnswerCache } from '../request/runtime.ts';
import { keysOf, type AnswersOf } from '../response-cache/answer-key.ts';
import type { Flushed } from '../response-cache/answer-store.ts';
import { Flights } from '../response-cache/flights.ts';
import { longestStored } from '../response-cache/stored-answer.ts';
import { MemoryStore } from '../response-cache/stores/memory.ts';
import { RedisStore } from '../response-cache/stores/redis.ts';
import { answerFromStore, AnswersOfThread } from '../response-cache/threads-answers.ts';

interface Parts {
  readonly part: ThreadPart;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly redis: RedisLinks;
}

/** The cache of answers, as long as one is configured. */
export interface OpenAnswerCache {
  readonly cache: AnswerCache | undefined;
  /** In control. */
  readonly kept: Pick<KeptAnswers, 'backend' | 'exact'>;
  /** Forgets answers. In control. */
  flush(whose: AnswersOf): Promise<Flushed>;
  reconfigure(settings: AnswerCacheSettings | undefined): void;
  close(): Promise<void>;
}

/** Of each thread: answers are a few KB long, and long ones are not all kept. */
const MOST_COPIED_BYTES = 128 * 1024 * 1024;

type UnderWay = Omit<AnswerCache, 'store'>;

/** One store for all threads, in control. Who waits for whom is known in each thread by itself. */
export function openAnswerCache(settings: AnswerCacheSettings | undefined, parts: Parts): OpenAnswerCache {
  const { part } = parts;
  const underWay = { flights: new Flights(), copies: new ByteBudget(MOST_COPIED_BYTES) };
  if (part.kind === 'request') {
    return {
      cache: { store: new AnswersOfThread(part.channel), ...underWay },
      kept: { backend: 'none', exact: undefined },
      flush: () => Promise.resolve({ count: 0 }),
      reconfigure: () => undefined,
      close: () => Promise.resolve(),
    };
  }
  const own = new OwnAnswers(settings, underWay, parts);
  if (part.kind === 'control') answerFromStore(part.channels, () => own.cache?.store);
  return own;
}

class OwnAnswers implements OpenAnswerCache {
  readonly #underWay: UnderWay;
  readonly #parts: Parts;
  #store: MemoryStore | RedisStore | undefined;
  /** What the store was opened for. */
  #opened = '';

  constructor(settings: AnswerCacheSettings | undefined, underWay: UnderWay, parts: Parts) {
    this.#parts = parts;
    this.#underWay = underWay;
    this.reconfigure(settings);
    parts.metrics.cacheEntries.onCollect((family) => {
      const { entries } = this.#store?.size ?? {};
      if (entries !== undefined) family.with().set(entries);
    });
    parts.metrics.cacheBytes.onCollect((family) => {
      const { bytes } = this.#store?.size ?? {};
      if (bytes !== undefined) family.with().set(bytes);
    });
  }

  get cache(): AnswerCache | undefined {
    return this.#store && { store: this.#store, ...this.#underWay };
  }

  reconfigure(settings: AnswerCacheSettings | undefined): void {
    const wanted = settings
      ? JSON.stringify(settings.redis && [settings.redis, settings.secret, settings.maxEntryBytes]) + '.'
      : '';
    if (wanted !== this.#opened) {
      void this.#store?.close();
      this.#store = settings && this.#open(settings);
      this.#opened = wanted;
    } else if (settings && this.#store instanceof MemoryStore) this.#store.reconfigure(settings);
  }

  get kept(): Pick<KeptAnswers, 'backend' | 'exact'> {
    if (!this.#store) return { backend: 'none', exact: 0 };
    return {
      backend: this.#store instanceof MemoryStore ? 'memory' : 'redis',
      exact: this.#store.size.entries,
    };
  }

  flush(whose: AnswersOf): Promise<Flushed> {
    const { prefix, part } = keysOf(whose);
    return this.#store?.flush(prefix, part) ?? Promise.resolve({ count: 0 });
  }

  async close(): Promise<void> {
    await this.#store?.close();
  }

  #open({ redis: server, secret, maxEntryBytes, ...bounds }: AnswerCacheSettings): MemoryStore | RedisStore {
    const { clock, log, metrics, redis } = this.#parts;
    if (!server) return new MemoryStore(bounds, clock);
    return new RedisStore(redis.open(server), {
      ...{ clock, log, secret, mostBytes: longestStored(maxEntryBytes) },
      onDiscarded: (_kind, reason) => {
        metrics.cacheRejectedTotal.with(reason).inc();
      },
    });
  }
}
