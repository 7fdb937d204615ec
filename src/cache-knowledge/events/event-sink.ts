import type { Coverage, EventsState } from '../exact/exact-memory.ts';
import type { Stored } from '../exact/exact-index.ts';
import type { StoredEvent, Tier } from './kv-event.ts';

/** Keeps what the engines tell: a row for each rank of each worker. The exact index is one. */
export interface EventSink<Row> {
  /** A rank of the worker in the slot tells of its blocks from now on. Undefined: there is no room for it. */
  open(slot: number, rank: number): Row | undefined;
  /** The arrays are used again afterwards. */
  store(row: Row, blocks: StoredEvent): Stored;
  remove(row: Row, names: Uint32Array, tier: Tier): void;
  /** Nothing of it is held any more; what it stores from now on is. */
  clear(row: Row): void;
  /** It has left. */
  forget(row: Row): void;
  setState(slot: number, generation: number, state: EventsState, coverage: Coverage): void;
}
