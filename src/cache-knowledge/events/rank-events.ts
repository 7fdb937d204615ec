import type { Closable, Publisher } from '../../zmtp/transport.ts';
import type { Coverage, EventsState } from '../exact/exact-memory.ts';
import { noCounts, type EventCounts } from './event-counts.ts';
import type { EventWorker, RankSource } from './event-worker.ts';
import { readMessage } from './message.ts';
import { modelOfTopic } from './publisher-topic.ts';
import { RankStream, type StreamDeps } from './rank-stream.ts';
import { RowFeed, type FeedDeps } from './row-feed.ts';

export interface RankDeps<Row> extends FeedDeps<Row>, Omit<StreamDeps, 'onState'> {}

/** What there is to be seen of the events of one rank. */
export interface RankReport {
  readonly rank: number;
  /** Undefined where the publisher connects to us. */
  readonly endpoint: string | undefined;
  readonly replayEndpoint: string | undefined;
  readonly state: EventsState;
  readonly coverage: Coverage;
  /** Why there is no connection; undefined while there is one, or none has been tried. */
  readonly reason: string | undefined;
  /** Since the last message, in ms; undefined before the first. */
  readonly ageMs: number | undefined;
  readonly lastSeq: number | undefined;
  readonly parkedBytes: number;
  readonly counts: EventCounts;
}

/** Follows the publisher of one rank of a worker, and keeps its row. */
export class RankEvents<Row> {
  readonly source: RankSource;
  /** Who sends, where publishers connect to us. */
  publisher: Publisher | undefined;
  readonly #deps: RankDeps<Row>;
  readonly #counts = noCounts();
  readonly #feed: RowFeed<Row>;
  readonly #stream: RankStream;
  readonly #subscription: Closable | undefined;
  #models: ReadonlySet<string>;
  #reason: string | undefined;
  /** Monotonic ms of the last message. */
  #heardAt: number | undefined;

  constructor(deps: RankDeps<Row>, worker: EventWorker, source: RankSource, onState: () => void) {
    this.source = source;
    this.#deps = deps;
    this.#models = new Set(worker.models);
    this.#feed = new RowFeed(deps, worker.slot, source.rank, this.#counts);
    this.#stream = new RankStream({ ...deps, onState }, source.replayEndpoint, this.#feed, this.#counts);
    if (source.endpoint === undefined) return;
    this.#subscription = deps.transport.subscribe(source.endpoint, source.topic, {
      onReady: () => this.onReady(),
      onMessage: (frames) => this.onMessage(frames),
      onDown: (cause, message) => this.onDown(cause, message),
    });
    if (!this.#subscription) this.#reason = 'not an endpoint that can be connected to';
  }

  /** Without a row nothing is known, whatever comes. */
  get state(): EventsState {
    const { state } = this.#stream;
    return state === 'live' && !this.#feed.hasRow ? 'lost' : state;
  }

  get coverage(): Coverage {
    return this.#stream.coverage;
  }

  get report(): RankReport {
    const { clock } = this.#deps;
    return {
      rank: this.source.rank,
      endpoint: this.source.endpoint,
      replayEndpoint: this.source.replayEndpoint,
      state: this.state,
      coverage: this.coverage,
      reason: this.#feed.hasRow ? this.#reason : 'the index has no room for another worker',
      ageMs: this.#heardAt === undefined ? undefined : clock.now() - this.#heardAt,
      lastSeq: this.#stream.lastSeq,
      parkedBytes: this.#feed.parkedBytes,
      counts: this.#counts,
    };
  }

  /** Names that its worker serves from now on. */
  setModels(models: readonly string[]): void {
    this.#models = new Set(models);
  }

  onReady(): void {
    this.#reason = undefined;
    this.#stream.onReady();
  }

  onMessage(frames: readonly Buffer[]): void {
    const message = readMessage(frames);
    if (!message) {
      this.#counts.dropped.misframed += 1;
      return;
    }
    this.#heardAt = this.#deps.clock.now();
    const model = modelOfTopic(message.topic);
    if (model !== undefined && this.#models.size > 0 && !this.#models.has(model)) {
      this.#counts.dropped.wrong_model += 1;
      return;
    }
    this.#stream.onMessage(message);
  }

  onDown(cause: string, message: string): void {
    this.#reason = message;
    this.#counts.ends[cause] = (this.#counts.ends[cause] ?? 0) + 1;
    this.#stream.onDown();
  }

  close(): void {
    this.#subscription?.close();
    this.#stream.close();
    this.#feed.close();
  }
}
