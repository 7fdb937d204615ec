import { BadMsgpack, Words, type MsgpackCursor } from '../../base/msgpack-cursor.ts';

/** Types of events that mean something to us. */
export const EVENT_TYPES = ['BlockStored', 'BlockRemoved', 'AllBlocksCleared'] as const;
export type EventType = (typeof EVENT_TYPES)[number];

/** Fields of events, as they are called in a map. */
const FIELDS = [
  'block_hashes',
  'parent_block_hash',
  'token_ids',
  'block_size',
  'lora_id',
  'medium',
  'lora_name',
  'extra_keys',
  'group_idx',
  'kv_cache_spec_kind',
] as const;
export type Field = (typeof FIELDS)[number];

/** vLLM up to 0.22: an array, in which the fields follow the type in this order; those at its end may be missing. */
const POSITIONS: Readonly<Record<EventType, readonly Field[]>> = {
  BlockStored: FIELDS,
  BlockRemoved: ['block_hashes', 'medium', 'group_idx'],
  AllBlocksCleared: [],
};

const TYPE_WORDS = new Words(EVENT_TYPES);
/** The type itself stands among the fields of a map, in any place. */
const TYPE_KEY = FIELDS.length;
const KEY_WORDS = new Words([...FIELDS, 'type']);
const PLACE = Object.fromEntries(FIELDS.map((field, place) => [field, place])) as Readonly<
  Record<Field, number>
>;
const ABSENT = -1;

/** Where in a batch the fields of one event stand: of either encoding, and in whatever order. */
export class EventFields {
  /** Undefined: of a type that is not known. */
  type: EventType | undefined;
  readonly #cursor: MsgpackCursor;
  readonly #places: number[] = FIELDS.map(() => ABSENT);

  constructor(cursor: MsgpackCursor) {
    this.#cursor = cursor;
  }

  /** Goes over the event at the cursor. @throws BadMsgpack */
  read(): void {
    this.type = undefined;
    this.#places.fill(ABSENT);
    if (this.#cursor.isMap) this.#readMap();
    else this.#readArray();
  }

  /** Puts the cursor at a field. @returns false where it is missing or nil, which means the same. */
  goTo(field: Field): boolean {
    const place = this.#places[PLACE[field]]!;
    if (place === ABSENT) return false;
    this.#cursor.at = place;
    return !this.#cursor.takeNil();
  }

  #readMap(): void {
    const cursor = this.#cursor;
    for (let left = cursor.readMap(); left > 0; left -= 1) {
      const key = cursor.readWord(KEY_WORDS);
      if (key === TYPE_KEY) {
        this.type = EVENT_TYPES[cursor.readWord(TYPE_WORDS)];
        continue;
      }
      if (key >= 0) this.#places[key] = cursor.at;
      cursor.skip();
    }
  }

  #readArray(): void {
    const cursor = this.#cursor;
    const size = cursor.readArray();
    if (size === 0) throw new BadMsgpack('an event without a type');
    this.type = EVENT_TYPES[cursor.readWord(TYPE_WORDS)];
    const fields = this.type === undefined ? [] : POSITIONS[this.type];
    for (let i = 0; i < size - 1; i += 1) {
      const field = fields[i];
      if (field !== undefined) this.#places[PLACE[field]] = cursor.at;
      cursor.skip();
    }
  }
}
