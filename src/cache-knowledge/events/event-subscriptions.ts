import type { Clock, Timer } from '../../base/clock.ts';
import { systemReason } from '../../base/system-reason.ts';
import type { Closable, Publisher, Transport } from '../../zmtp/transport.ts';
import { AttentionGroups } from './attention-groups.ts';
import { BatchDecoder } from './batch-decoder.ts';
import { ByteBudget } from '../../base/byte-budget.ts';
import { HeldShares } from './held-shares.ts';
import { noCounts, type EventCounts } from './event-counts.ts';
import type { EventSink } from './event-sink.ts';
import type { EventWorker } from './event-worker.ts';
import { addressOfTopic } from './publisher-topic.ts';
import type { RankDeps, RankEvents } from './rank-events.ts';
import { WorkerEvents, type WorkerEventsReport } from './worker-events.ts';

export interface SubscriptionsDeps<Row> {
  readonly sink: EventSink<Row>;
  readonly transport: Transport;
  readonly clock: Clock;
}

export interface SubscriptionsReport {
  readonly workers: readonly WorkerEventsReport[];
  /** Where publishers may connect. */
  readonly bound: { readonly endpoint: string; readonly reason: string | undefined } | undefined;
  /** Of publishers that belong to no worker. */
  readonly counts: EventCounts;
  readonly parkedBytes: number;
}

const PARKED_BYTES = 32 * 1024 * 1024;
const HELD_BYTES = 128 * 1024 * 1024;
const BIND_AGAIN_MS = 5000;

/**
 * Follows the events of all workers that there are, and keeps in the sink what their engines hold. Knows no threads and no sockets:
 * it is told of workers, and is handed its transport.
 */
export class EventSubscriptions<Row> {
  readonly #deps: RankDeps<Row>;
  readonly #clock: Clock;
  readonly #transport: Transport;
  /** By slot. */
  readonly #workers = new Map<number, WorkerEvents<Row>>();
  /** Several where each rank of a server is a worker of its own. */
  readonly #byAddress = new Map<string, WorkerEvents<Row>[]>();
  readonly #counts = noCounts();
  readonly #decoder = new BatchDecoder();
  #bindEndpoint: string | undefined;
  #bound: Closable | undefined;
  #bindReason: string | undefined;
  #bindAgain: Timer | undefined;
  /** Counts what was wanted: who began to listen for an earlier wish has no part in this one, also where it is the same again. */
  #wish = 0;

  constructor({ sink, transport, clock }: SubscriptionsDeps<Row>) {
    this.#clock = clock;
    this.#transport = transport;
    this.#deps = {
      ...{ sink, transport, clock, decoder: this.#decoder },
      parkedBytes: new ByteBudget(PARKED_BYTES),
      held: new HeldShares(HELD_BYTES),
    };
  }

  get report(): SubscriptionsReport {
    return {
      workers: [...this.#workers.values()].map((worker) => worker.report),
      bound:
        this.#bindEndpoint === undefined
          ? undefined
          : { endpoint: this.#bindEndpoint, reason: this.#bindReason },
      counts: this.#counts,
      parkedBytes: this.#deps.parkedBytes.used,
    };
  }

  /** All workers that there are now. Those that have left are forgotten; those that are the same go on. */
  apply(workers: readonly EventWorker[]): void {
    const here = new Map(workers.map((worker) => [worker.slot, worker]));
    for (const [slot, known] of this.#workers) {
      if (here.get(slot)?.generation === known.worker.generation) continue;
      known.close();
      this.#workers.delete(slot);
    }
    this.#byAddress.clear();
    for (const worker of workers) {
      const known = this.#workers.get(worker.slot) ?? new WorkerEvents(this.#deps, worker);
      if (known.worker !== worker) known.update(worker);
      this.#workers.set(worker.slot, known);
      this.#byAddress.set(worker.address, [...(this.#byAddress.get(worker.address) ?? []), known]);
    }
  }

  /** Takes publishers that connect, at this endpoint; undefined: none. Tried again where it is taken. */
  bind(endpoint: string | undefined): void {
    if (endpoint === this.#bindEndpoint) return;
    this.#unbind();
    this.#bindEndpoint = endpoint;
    if (endpoint !== undefined) void this.#listen(endpoint);
  }

  close(): void {
    this.#unbind();
    this.apply([]);
  }

  async #listen(endpoint: string): Promise<void> {
    const wish = this.#wish;
    try {
      const bound = await this.#transport.bind(endpoint, '', {
        onMessage: (frames, from) => this.#onPublished(frames, from),
        onDown: (cause, message, from) => this.#onPublisherDown(cause, message, from),
      });
      // Something else was wanted meanwhile.
      if (this.#wish !== wish) {
        bound.close();
        return;
      }
      this.#bound = bound;
      this.#bindReason = undefined;
    } catch (error) {
      if (this.#wish !== wish) return;
      this.#bindReason = systemReason(error);
      this.#bindAgain = this.#clock.after(BIND_AGAIN_MS, () => void this.#listen(endpoint));
    }
  }

  #unbind(): void {
    this.#wish += 1;
    this.#bindEndpoint = undefined;
    this.#bindReason = undefined;
    this.#bindAgain?.cancel();
    this.#bound?.close();
    this.#bound = undefined;
    for (const rank of this.#boundRanks()) if (rank.publisher) leave(rank, 'closed', 'no longer bound');
  }

  /** A message changes the worker that its topic names, and no other. */
  #onPublished(frames: readonly Buffer[], from: Publisher): void {
    const address = addressOfTopic(frames[0] ?? NO_TOPIC);
    const workers = address === undefined ? undefined : this.#byAddress.get(address);
    const all = workers?.flatMap((worker) => worker.ranks) ?? [];
    const ranks = all.filter((rank) => rank.source.endpoint === undefined);
    if (ranks.length === 0) {
      this.#counts.dropped.unknown_worker += 1;
      return;
    }
    const rank = ranks.length === 1 ? ranks[0] : this.#rankOf(frames, ranks);
    if (!rank) {
      this.#counts.dropped.wrong_rank += 1;
      return;
    }
    // The latest counts: the one before it may be of a process that is no more.
    if (rank.publisher !== from) {
      if (rank.publisher) leave(rank, 'closed', 'another publisher took its place');
      rank.publisher = from;
      rank.onReady();
    }
    rank.onMessage(frames);
  }

  /** With several ranks of one topic, the batch says whose it is. */
  #rankOf(frames: readonly Buffer[], ranks: readonly RankEvents<Row>[]): RankEvents<Row> | undefined {
    const batch = this.#decoder.decode(frames.at(-1) ?? NO_TOPIC, new AttentionGroups());
    if (batch.kind === 'malformed') return undefined;
    return ranks.find((rank) => rank.source.rank === (batch.rank ?? 0));
  }

  #onPublisherDown(cause: string, message: string, from: Publisher): void {
    let isKnown = false;
    for (const rank of this.#boundRanks()) {
      if (rank.publisher !== from) continue;
      isKnown = true;
      leave(rank, cause, message);
    }
    if (!isKnown) this.#counts.ends[cause] = (this.#counts.ends[cause] ?? 0) + 1;
  }

  *#boundRanks(): Generator<RankEvents<Row>> {
    for (const worker of this.#workers.values())
      for (const rank of worker.ranks) if (rank.source.endpoint === undefined) yield rank;
  }
}

const NO_TOPIC = Buffer.alloc(0);

function leave<Row>(rank: RankEvents<Row>, cause: string, message: string): void {
  rank.publisher = undefined;
  rank.onDown(cause, message);
}
