import type { Clock } from '../../base/clock.ts';
import { AttentionGroups } from './attention-groups.ts';
import type { Batch, BatchDecoder } from './batch-decoder.ts';
import type { ByteBudget } from '../../base/byte-budget.ts';
import type { EventCounts } from './event-counts.ts';
import type { EventSink } from './event-sink.ts';
import { DROP_REASONS, type StoredEvent } from './kv-event.ts';
import { ParkedBlocks, type Unparked } from './parked-blocks.ts';
import type { Applied } from './row-coverage.ts';

export interface FeedDeps<Row> {
  readonly sink: EventSink<Row>;
  /** One for all: what it reads is used before the next batch. */
  readonly decoder: BatchDecoder;
  readonly clock: Clock;
  /** What all rows may park together. */
  readonly parkedBytes: ByteBudget;
}

/** Brings the batches of one rank of a worker into its row. */
export class RowFeed<Row> {
  readonly #sink: EventSink<Row>;
  readonly #decoder: BatchDecoder;
  readonly #counts: EventCounts;
  readonly #groups = new AttentionGroups();
  readonly #parked: ParkedBlocks;
  readonly #row: Row | undefined;
  /** As its first batch has it. */
  #rank: number | undefined;
  /** What came of the batch so far. */
  #applied: Applied = 'complete';

  constructor(
    { sink, decoder, clock, parkedBytes }: FeedDeps<Row>,
    slot: number,
    rank: number,
    counts: EventCounts,
  ) {
    this.#sink = sink;
    this.#decoder = decoder;
    this.#counts = counts;
    this.#parked = new ParkedBlocks(
      clock,
      parkedBytes,
      (blocks) => (counts.dropped.unknown_parent += blocks),
    );
    this.#row = sink.open(slot, rank);
  }

  /** Whether there is a row for it. */
  get hasRow(): boolean {
    return this.#row !== undefined;
  }

  get parkedBytes(): number {
    return this.#parked.bytes;
  }

  /** A batch that cannot be read may have removed anything: nothing is known after it but what comes. */
  apply(payload: Buffer): Applied {
    const batch = this.#decoder.decode(payload, this.#groups);
    if (batch.kind === 'malformed') {
      this.#counts.malformed += 1;
      this.forget();
      return 'malformed';
    }
    if (batch.rank !== undefined && batch.rank !== (this.#rank ??= batch.rank)) {
      this.#counts.dropped.wrong_rank += 1;
      return 'complete';
    }
    this.#counts.batches += 1;
    for (const reason of DROP_REASONS) this.#counts.dropped[reason] += batch.dropped[reason];
    this.#applied = 'complete';
    if (this.#row === undefined) this.#counts.dropped.full += batch.events.length;
    else this.#use(this.#row, batch);
    return batch.dropped.misshapen > 0 ? 'incomplete' : this.#applied;
  }

  /** The row begins anew. */
  forget(): void {
    this.#groups.forget();
    this.#parked.clear();
    this.#rank = undefined;
    if (this.#row !== undefined) this.#sink.clear(this.#row);
  }

  close(): void {
    this.#parked.clear();
    if (this.#row !== undefined) this.#sink.forget(this.#row);
  }

  #use(row: Row, { events }: Batch): void {
    for (const event of events) {
      switch (event.kind) {
        case 'stored':
          this.#counts.stored += event.names.length / 2;
          this.#store(row, event);
          break;
        case 'removed':
          this.#counts.removed += event.names.length / 2;
          this.#sink.remove(row, event.names, event.tier);
          if (!this.#parked.isEmpty) this.#parked.remove(event.names, event.tier);
          break;
        case 'cleared':
          this.#counts.cleared += 1;
          this.#parked.clear();
          this.#sink.clear(row);
          this.#applied = 'cleared';
      }
    }
  }

  /** Stores blocks, and those that waited for them, and those that waited for those. */
  #store(row: Row, event: StoredEvent): void {
    const waiting: Unparked[] = [{ event, removed: NONE }];
    for (let next = waiting.pop(); next; next = waiting.pop()) {
      if (!this.#storeOne(row, next.event)) continue;
      if (next.removed.length > 0) this.#sink.remove(row, next.removed, next.event.tier);
      if (!this.#parked.isEmpty) waiting.push(...this.#parked.take(next.event.names));
    }
  }

  #storeOne(row: Row, event: StoredEvent): boolean {
    const stored = this.#sink.store(row, event);
    switch (stored) {
      case 'stored':
        return true;
      case 'unknown_parent':
        this.#parked.park(event);
        return false;
      case 'malformed':
        this.#counts.dropped.misshapen += 1;
        this.#applied = 'incomplete';
        return false;
      case 'unknown_block':
      case 'block_size':
      case 'full':
        this.#counts.dropped[stored] += event.names.length / 2;
        this.#applied = 'incomplete';
        return false;
    }
  }
}

const NONE = new Uint32Array(0);
