import type { AttentionGroups } from './attention-groups.ts';
import { EventReader } from './event-reader.ts';
import type { Dropped, KvEvent } from './kv-event.ts';
import { BadMsgpack, MsgpackCursor, Words } from '../../base/msgpack-cursor.ts';

/** What an engine tells of one step of its scheduler. */
export interface Batch {
  readonly kind: 'batch';
  /** Unix seconds. */
  readonly ts: number;
  /** Of data parallelism; undefined where the engine is too old to say it. */
  readonly rank: number | undefined;
  /** Their arrays are used again by the next batch: who keeps them copies them. */
  readonly events: readonly KvEvent[];
  /** Events that were passed over, by reason. */
  readonly dropped: Dropped;
}

export interface MalformedBatch {
  readonly kind: 'malformed';
  readonly reason: string;
}

/** Their places where the batch is an array. */
const BATCH_WORDS = new Words(['ts', 'events', 'data_parallel_rank']);
const NOTHING = Buffer.alloc(0);

/**
 * Reads the payloads of messages: of every generation of vLLM, events as arrays or as maps. Only a batch that can be read as a whole
 * is one: what an event removes that cannot be read would be believed to be there for ever.
 */
export class BatchDecoder {
  readonly #cursor = new MsgpackCursor(NOTHING);
  readonly #events = new EventReader(this.#cursor);

  /** @param groups of the publisher; what the batch says of them is learnt. */
  decode(bytes: Buffer, groups: AttentionGroups): Batch | MalformedBatch {
    this.#cursor.begin(bytes);
    this.#events.begin(groups);
    try {
      return this.#read();
    } catch (error) {
      if (error instanceof BadMsgpack) return { kind: 'malformed', reason: error.message };
      throw error;
    } finally {
      this.#cursor.begin(NOTHING);
    }
  }

  #read(): Batch {
    const cursor = this.#cursor;
    let ts: number | undefined;
    let rank: number | undefined;
    let isRead = false;
    const isMap = cursor.isMap;
    const size = isMap ? cursor.readMap() : cursor.readArray();
    for (let i = 0; i < size; i += 1) {
      const place = isMap ? cursor.readWord(BATCH_WORDS) : i;
      if (place === 0) ts = cursor.readNumber();
      else if (place === 1) isRead = this.#readEvents();
      else if (place === 2) rank = cursor.takeNil() ? undefined : cursor.readNumber();
      else cursor.skip();
    }
    if (ts === undefined || !isRead) throw new BadMsgpack('a batch without a time or events');
    if (!cursor.done) throw new BadMsgpack('something behind the batch');
    return { kind: 'batch', ts, rank, ...this.#events.end() };
  }

  #readEvents(): true {
    for (let left = this.#cursor.readArray(); left > 0; left -= 1) this.#events.read();
    return true;
  }
}
