import type { Coverage, EventsState } from '../exact/exact-memory.ts';
import { sameSource, type EventWorker } from './event-worker.ts';
import { RankEvents, type RankDeps, type RankReport } from './rank-events.ts';

/** What there is to be seen of the events of one worker. */
export interface WorkerEventsReport {
  readonly slot: number;
  readonly generation: number;
  readonly state: EventsState;
  /** `whole`: while it is live, all that the worker holds is known. */
  readonly coverage: Coverage;
  readonly ranks: readonly RankReport[];
}

/** Follows all ranks of one worker, for as long as it is in its slot. */
export class WorkerEvents<Row> {
  readonly #deps: RankDeps<Row>;
  #worker: EventWorker;
  #ranks: RankEvents<Row>[] = [];
  #state: EventsState | undefined;
  #coverage: Coverage = 'partial';

  constructor(deps: RankDeps<Row>, worker: EventWorker) {
    this.#deps = deps;
    this.#worker = { ...worker, sources: [] };
    this.update(worker);
  }

  get worker(): EventWorker {
    return this.#worker;
  }

  get ranks(): readonly RankEvents<Row>[] {
    return this.#ranks;
  }

  get report(): WorkerEventsReport {
    const { slot, generation } = this.#worker;
    const ranks = this.#ranks.map((rank) => rank.report);
    return { slot, generation, state: this.#state ?? 'none', coverage: this.#coverage, ranks };
  }

  /** Ranks whose source is the same go on. */
  update(worker: EventWorker): void {
    this.#worker = worker;
    const before = this.#ranks;
    const kept = worker.sources.map((source) => before.find((rank) => sameSource(source, rank.source)));
    for (const rank of before) if (!kept.includes(rank)) rank.close();
    this.#ranks = worker.sources.map(
      (source, i) => kept[i] ?? new RankEvents(this.#deps, worker, source, () => this.#onState()),
    );
    for (const rank of this.#ranks) rank.setModels(worker.models);
    this.#onState();
  }

  close(): void {
    for (const rank of this.#ranks) rank.close();
    this.#ranks = [];
    this.#onState();
  }

  /** Requests may go to any of its ranks: only if all of them are followed does one know what it holds. */
  #onState(): void {
    const states = this.#ranks.map((rank) => rank.state);
    const state = states.every((one) => one === 'live')
      ? 'live'
      : states.includes('lost')
        ? 'lost'
        : 'connecting';
    const now = states.length === 0 ? 'none' : state;
    const isWhole = states.length > 0 && this.#ranks.every((rank) => rank.coverage === 'whole');
    const coverage = isWhole ? 'whole' : 'partial';
    if (now === this.#state && coverage === this.#coverage) return;
    this.#state = now;
    this.#coverage = coverage;
    this.#deps.sink.setState(this.#worker.slot, this.#worker.generation, now, coverage);
  }
}
