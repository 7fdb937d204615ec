import { ByteBudget } from '../base/byte-budget.ts';
import type { Clock } from '../base/clock.ts';
import type { ThreadPart } from '../base/thread-part.ts';
import type { AnswerCacheSettings } from '../config/settings/answer-cache.ts';
import type { Metrics } from '../observe/metrics.ts';
import type { AnswerCache } from '../request/runtime.ts';
import { keysOf, type AnswersOf } from '../response-cache/answer-key.ts';
import type { AnswerStore } from '../response-cache/answer-store.ts';
import { Flights } from '../response-cache/flights.ts';
import { MemoryStore } from '../response-cache/stores/memory.ts';
import { answerFromStore, AnswersOfThread } from '../response-cache/threads-answers.ts';

interface Parts {
  readonly part: ThreadPart;
  readonly clock: Clock;
  readonly metrics: Metrics;
}

/** The cache of answers, as long as one is configured. */
export interface OpenAnswerCache {
  readonly cache: AnswerCache | undefined;
  /** Where all answers are; undefined in a request thread. */
  readonly store: AnswerStore | undefined;
  /** Forgets answers; how many. In control. */
  flush(whose: AnswersOf): Promise<number>;
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
    const store = new AnswersOfThread(part.channel);
    return {
      cache: { store, ...underWay },
      store: undefined,
      flush: () => Promise.resolve(0),
      reconfigure: () => undefined,
      close: () => Promise.resolve(),
    };
  }
  const own = new OwnAnswers(settings, underWay, parts);
  if (part.kind === 'control') answerFromStore(part.channels, () => own.store);
  return own;
}

class OwnAnswers implements OpenAnswerCache {
  readonly #underWay: UnderWay;
  readonly #clock: Clock;
  #memory: MemoryStore | undefined;

  constructor(settings: AnswerCacheSettings | undefined, underWay: UnderWay, { clock, metrics }: Parts) {
    this.#clock = clock;
    this.#underWay = underWay;
    this.reconfigure(settings);
    metrics.cacheEntries.onCollect((family) => {
      if (this.#memory) family.with().set(this.#memory.size.entries);
    });
    metrics.cacheBytes.onCollect((family) => {
      if (this.#memory) family.with().set(this.#memory.size.bytes);
    });
  }

  get store(): AnswerStore | undefined {
    return this.#memory;
  }

  get cache(): AnswerCache | undefined {
    return this.#memory && { store: this.#memory, ...this.#underWay };
  }

  reconfigure(settings: AnswerCacheSettings | undefined): void {
    if (settings && this.#memory) this.#memory.reconfigure(settings);
    else if (settings) this.#memory = new MemoryStore(settings, this.#clock);
    else {
      void this.#memory?.close();
      this.#memory = undefined;
    }
  }

  flush(whose: AnswersOf): Promise<number> {
    const { prefix, part } = keysOf(whose);
    return this.#memory?.flush(prefix, part) ?? Promise.resolve(0);
  }

  async close(): Promise<void> {
    await this.#memory?.close();
  }
}
