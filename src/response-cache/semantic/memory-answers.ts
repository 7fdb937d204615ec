import { extname } from 'node:path';
import type { Clock } from '../../base/clock.ts';
import type { HelperDeps, HelperThread } from '../../helper-threads/helper-thread.ts';
import type { AnswersOf } from '../answer-key.ts';
import { keyPart, tenantScope } from '../answer-key.ts';
import type { SemanticAnswers, SemanticHit } from './semantic-answers.ts';
import { ADD, DROP, NEAREST } from './vector-messages.ts';

export interface SemanticBounds {
  /** Least cosine of two questions that have one answer. */
  readonly threshold: number;
  readonly maxEntries: number;
  /** Of answers and vectors together. */
  readonly maxBytes: number;
  readonly ttlMs: number;
}

/** What came of looking for an answer. `late`: the thread did not say in time, or is not there. */
export type SemanticOutcome = 'hit' | 'miss' | 'late';

export interface MemoryAnswersDeps {
  readonly clock: Clock;
  readonly startHelper: (helper: VectorHelper) => HelperThread;
  readonly onLooked: (outcome: SemanticOutcome) => void;
}

/** What a helper thread needs beside what is said here. */
export type VectorHelper = Pick<HelperDeps, 'name' | 'module' | 'data' | 'heapMb' | 'onEnded'>;

interface Entry {
  readonly partition: string;
  readonly value: Buffer;
  readonly bytes: number;
  readonly keptAt: number;
}

const MODULE = new URL(`./vector-thread${extname(import.meta.url)}`, import.meta.url);
/** Vectors are no part of the heap. */
const HEAP_MB = 64;
/** A thread that takes longer than this has something else to do. */
const WITHIN_MS = 100;
/** What an entry takes beside value, vector and partition. */
const ENTRY_BYTES = 512;

/**
 * Answers in the memory of this thread, and the vectors of their questions in one of their own.
 * When that thread ends, all is forgotten: the next one begins with nothing.
 */
export class MemoryAnswers implements SemanticAnswers {
  readonly #deps: MemoryAnswersDeps;
  #bounds: SemanticBounds;
  /** Oldest first. */
  readonly #entries = new Map<number, Entry>();
  #bytes = 0;
  #ids = 0;
  readonly #helper: HelperThread;
  #closed = false;

  constructor(bounds: SemanticBounds, deps: MemoryAnswersDeps) {
    this.#bounds = bounds;
    this.#deps = deps;
    this.#helper = deps.startHelper({
      ...{ name: 'vector', module: MODULE, heapMb: HEAP_MB, data: () => undefined },
      onEnded: () => {
        this.#forget();
      },
    });
  }

  get size(): { readonly entries: number; readonly bytes: number } {
    return { entries: this.#entries.size, bytes: this.#bytes };
  }

  async find(partition: string, vector: Float32Array): Promise<SemanticHit | undefined> {
    if (this.#entries.size === 0) {
      this.#deps.onLooked('miss');
      return undefined;
    }
    this.#dropOld();
    const asked = this.#helper.channel?.ask(NEAREST, {
      ...{ partition, vector, threshold: this.#bounds.threshold },
    });
    const nearest = await this.#inTime(asked);
    const entry = nearest === 'late' || nearest === undefined ? undefined : this.#fresh(nearest.id);
    this.#deps.onLooked(nearest === 'late' ? 'late' : entry ? 'hit' : 'miss');
    if (!entry || nearest === 'late' || nearest === undefined) return undefined;
    return { value: entry.value, similarity: nearest.similarity };
  }

  /** @param ageMs How long ago it was answered. */
  keep(partition: string, vector: Float32Array, value: Buffer, ageMs = 0): void {
    const bytes = value.length + vector.byteLength + partition.length + ENTRY_BYTES;
    if (this.#closed || bytes > this.#bounds.maxBytes) return;
    const { channel } = this.#helper;
    if (!channel) return;
    const id = ++this.#ids;
    channel.post(ADD, { id, partition, vector });
    this.#entries.set(id, { partition, value, bytes, keptAt: this.#deps.clock.now() - ageMs });
    this.#bytes += bytes;
    this.#dropOld();
  }

  /** Forgets answers; how many. */
  flush({ model, tenant }: AnswersOf): number {
    const begin = tenant === undefined ? '' : `${keyPart(tenantScope(tenant))}:`;
    const part = model === undefined ? '' : `:${keyPart(model)}:`;
    const gone = [...this.#entries].flatMap(([id, { partition }]) =>
      partition.startsWith(begin) && partition.includes(part) ? [id] : [],
    );
    this.#drop(gone);
    return gone.length;
  }

  reconfigure(bounds: SemanticBounds): void {
    this.#bounds = bounds;
    this.#dropOld();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#forget();
    await this.#helper.stop();
  }

  /** What replicas have told of is not in the order of its age. */
  #fresh(id: number): Entry | undefined {
    const entry = this.#entries.get(id);
    if (!entry || entry.keptAt > this.#deps.clock.now() - this.#bounds.ttlMs) return entry;
    this.#drop([id]);
    return undefined;
  }

  /** Those whose time is up, and the oldest ones beyond the bounds. */
  #dropOld(): void {
    const { maxEntries, maxBytes, ttlMs } = this.#bounds;
    const since = this.#deps.clock.now() - ttlMs;
    const gone: number[] = [];
    let [entries, bytes] = [this.#entries.size, this.#bytes];
    for (const [id, entry] of this.#entries) {
      if (entry.keptAt > since && entries <= maxEntries && bytes <= maxBytes) break;
      gone.push(id);
      entries -= 1;
      bytes -= entry.bytes;
    }
    this.#drop(gone);
  }

  #drop(ids: readonly number[]): void {
    for (const id of ids) {
      this.#bytes -= this.#entries.get(id)?.bytes ?? 0;
      this.#entries.delete(id);
    }
    if (ids.length > 0) this.#helper.channel?.post(DROP, ids);
  }

  #forget(): void {
    this.#entries.clear();
    this.#bytes = 0;
  }

  #inTime<T>(asked: Promise<T> | undefined): Promise<T | 'late'> {
    if (!asked) return Promise.resolve('late');
    return new Promise((resolve) => {
      const late = (): void => {
        resolve('late');
      };
      const timer = this.#deps.clock.after(WITHIN_MS, late);
      asked.then((answer) => {
        timer.cancel();
        resolve(answer);
      }, late);
    });
  }
}
