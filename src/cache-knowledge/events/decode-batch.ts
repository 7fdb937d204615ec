import type { AttentionGroups } from './attention-groups.ts';
import { EventFields } from './event-fields.ts';
import { NO_EXTRA_KEYS, readExtraKeys } from './extra-keys.ts';
import { nothingDropped, type BlockName, type Dropped, type KvEvent, type StoredEvent } from './kv-event.ts';
import { tierOf } from './medium.ts';
import { BadMsgpack, MsgpackCursor, Words } from './msgpack-cursor.ts';

/** What an engine tells of one step of its scheduler. */
export interface Batch {
  readonly kind: 'batch';
  /** Unix seconds. */
  readonly ts: number;
  /** Of data parallelism; undefined where the engine is too old to say it. */
  readonly rank: number | undefined;
  readonly events: readonly KvEvent[];
  /** Events that were passed over, by reason. */
  readonly dropped: Dropped;
}

export interface MalformedBatch {
  readonly kind: 'malformed';
  readonly reason: string;
}

const BATCH_KEYS = ['ts', 'events', 'data_parallel_rank'] as const;
const BATCH_WORDS = new Words(BATCH_KEYS);
const ABSENT = -1;

/**
 * Reads the payload of a message: of every generation of vLLM, events as arrays or as maps. Only a batch that can be read as a whole
 * is one: what an event removes that cannot be read would be believed to be there for ever.
 */
export function decodeBatch(bytes: Uint8Array, groups: AttentionGroups): Batch | MalformedBatch {
  try {
    return readBatch(new MsgpackCursor(bytes), groups);
  } catch (error) {
    if (error instanceof BadMsgpack) return { kind: 'malformed', reason: error.message };
    throw error;
  }
}

function readBatch(cursor: MsgpackCursor, groups: AttentionGroups): Batch {
  const [tsAt, eventsAt, rankAt] = readPlaces(cursor);
  if (tsAt === ABSENT || eventsAt === ABSENT) throw new BadMsgpack('a batch without a time or events');
  cursor.at = tsAt;
  const ts = cursor.readNumber();
  cursor.at = rankAt;
  const rank = rankAt === ABSENT || cursor.takeNil() ? undefined : cursor.readNumber();
  cursor.at = eventsAt;
  const dropped = nothingDropped();
  const events: KvEvent[] = [];
  const fields = new EventFields(cursor);
  for (let left = cursor.readArray(); left > 0; left -= 1) {
    fields.read();
    const next = cursor.at;
    const event = readEvent(cursor, fields, groups, dropped);
    if (event) events.push(event);
    cursor.at = next;
  }
  return { kind: 'batch', ts, rank, events, dropped };
}

/** Where time, events and rank stand; the batch is an array, or a map in one variant. */
function readPlaces(cursor: MsgpackCursor): readonly [number, number, number] {
  const places: [number, number, number] = [ABSENT, ABSENT, ABSENT];
  const isMap = cursor.isMap;
  const size = isMap ? cursor.readMap() : cursor.readArray();
  for (let i = 0; i < size; i += 1) {
    const place = isMap ? cursor.readWord(BATCH_WORDS) : i;
    if (place >= 0 && place < places.length) places[place] = cursor.at;
    cursor.skip();
  }
  if (!cursor.done) throw new BadMsgpack('something behind the batch');
  return places;
}

/** @returns undefined where it is passed over. */
function readEvent(
  cursor: MsgpackCursor,
  fields: EventFields,
  groups: AttentionGroups,
  dropped: Dropped,
): KvEvent | undefined {
  switch (fields.type) {
    case undefined:
      dropped.unknown_type += 1;
      return undefined;
    case 'AllBlocksCleared':
      return { kind: 'cleared' };
    case 'BlockRemoved': {
      if (!groups.followsRemoved(readGroup(cursor, fields))) {
        dropped.other_group += 1;
        return undefined;
      }
      return { kind: 'removed', names: readNames(cursor, fields), tier: readTier(cursor, fields) };
    }
    case 'BlockStored': {
      const kind = fields.goTo('kv_cache_spec_kind') ? cursor.readText() : undefined;
      if (!groups.followsStored(readGroup(cursor, fields), kind)) {
        dropped.other_group += 1;
        return undefined;
      }
      const stored = readStored(cursor, fields);
      if (!stored) dropped.misshapen += 1;
      return stored;
    }
  }
}

/** @returns undefined where its tokens or keys do not fit its blocks. */
function readStored(cursor: MsgpackCursor, fields: EventFields): StoredEvent | undefined {
  const names = readNames(cursor, fields);
  const blocks = names.length / 2;
  const blockSize = fields.goTo('block_size') ? cursor.readNumber() : 0;
  if (!fields.goTo('token_ids')) return undefined;
  const count = cursor.readArray();
  // Offloaded blocks are told of without their tokens.
  if (count !== 0 && (!Number.isInteger(blockSize) || blockSize < 1 || count !== blocks * blockSize))
    return undefined;
  const tokens = new Uint32Array(count);
  if (!cursor.readUint32s(tokens)) return undefined;
  const parent = readParent(cursor, fields);
  const adapter = readAdapter(cursor, fields);
  const keys = fields.goTo('extra_keys')
    ? readExtraKeys(cursor, blocks, adapter, parent === undefined)
    : NO_EXTRA_KEYS;
  if (!keys) return undefined;
  return {
    kind: 'stored',
    names,
    parent,
    tokens,
    blockSize: count === 0 ? 0 : blockSize,
    adapter,
    salt: keys.salt,
    extras: keys.extras,
    tier: readTier(cursor, fields),
  };
}

function readNames(cursor: MsgpackCursor, fields: EventFields): Uint32Array {
  if (!fields.goTo('block_hashes')) throw new BadMsgpack('an event without blocks');
  const names = new Uint32Array(2 * cursor.readArray());
  for (let i = 0; i < names.length; i += 2) cursor.readName(names, i);
  return names;
}

const parentName = new Uint32Array(2);

function readParent(cursor: MsgpackCursor, fields: EventFields): BlockName | undefined {
  if (!fields.goTo('parent_block_hash')) return undefined;
  cursor.readName(parentName, 0);
  const low = parentName[0]!;
  const high = parentName[1]!;
  // Older simulators say 0 for none.
  return low === 0 && high === 0 ? undefined : { low, high };
}

/** Engines before 0.12 tell the number that an adapter has with them, which says nothing of its name. */
function readAdapter(cursor: MsgpackCursor, fields: EventFields): string {
  if (fields.goTo('lora_name')) return cursor.readText();
  return fields.goTo('lora_id') ? `lora_id ${cursor.readNumber()}` : '';
}

function readGroup(cursor: MsgpackCursor, fields: EventFields): number {
  return fields.goTo('group_idx') ? cursor.readNumber() : 0;
}

function readTier(cursor: MsgpackCursor, fields: EventFields): StoredEvent['tier'] {
  return tierOf(fields.goTo('medium') ? cursor.readText() : undefined);
}
