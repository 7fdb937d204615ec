import { Encoder } from '@msgpack/msgpack';
import { digestNumber } from './block-digest.ts';
import type { KvEvent } from './kv-event.ts';
import type { KvEventSettings } from './settings.ts';

/** `[ts, events, rank]` in msgpack's bytes: an array of three, and a float of 64 bits. */
const ARRAY_OF_3 = 0x93;
const FLOAT_64 = 0xcb;
const SPEC_KIND = 'full_attention';
/** The only group of layers that these engines have. */
const GROUP = 0;

const encoder = new Encoder({ useBigInt64: true });

/** One batch as vLLM sends it: `wallMs` since 1970, the rank in the engine's data-parallel group. */
export function encodeBatch(
  events: readonly KvEvent[],
  wallMs: number,
  rank: number,
  { encoding, hashes }: Pick<KvEventSettings, 'encoding' | 'hashes'>,
): Buffer {
  // The time is a float even where it is a whole number, which the library would write as an integer.
  const head = Buffer.alloc(10);
  head[0] = ARRAY_OF_3;
  head[1] = FLOAT_64;
  head.writeDoubleBE(wallMs / 1000, 2);
  const nameOf = (digest: Buffer): HashName => (hashes === 'int' ? digestNumber(digest) : digest);
  const bodies = events.map((event) => fieldsOf(event, nameOf));
  const encoded = encoding === 'map' ? bodies.map(withoutDefaults) : bodies.map(asArray);
  return Buffer.concat([head, encoder.encode(encoded), encoder.encode(rank)]);
}

type HashName = bigint | Uint8Array;

/** An event's fields in the order in which an array has them; undefined is its default, which maps and the ends of arrays leave out. */
interface Fields {
  readonly type: string;
  readonly [name: string]: unknown;
}

function fieldsOf(event: KvEvent, nameOf: (digest: Buffer) => HashName): Fields {
  switch (event.kind) {
    case 'stored':
      return {
        type: 'BlockStored',
        block_hashes: event.hashes.map(nameOf),
        parent_block_hash: event.parent === undefined ? null : nameOf(event.parent),
        token_ids: Array.from(event.tokens),
        block_size: event.blockSize,
        lora_id: event.adapterId ?? null,
        medium: 'GPU',
        lora_name: event.adapter ?? null,
        extra_keys: event.extraKeys.map((keys) => (keys.length === 0 ? null : keys)),
        group_idx: GROUP,
        kv_cache_spec_kind: SPEC_KIND,
      };
    case 'offloaded':
      return {
        type: 'BlockStored',
        block_hashes: [nameOf(event.hash)],
        parent_block_hash: null,
        token_ids: [],
        block_size: 0,
        lora_id: null,
        medium: 'CPU',
        lora_name: null,
        extra_keys: undefined,
        group_idx: GROUP,
      };
    case 'removed':
      return {
        type: 'BlockRemoved',
        block_hashes: [nameOf(event.hash)],
        medium: event.medium,
        group_idx: GROUP,
      };
    case 'cleared':
      return { type: 'AllBlocksCleared' };
  }
}

function withoutDefaults(fields: Fields): object {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

function asArray(fields: Fields): readonly unknown[] {
  return Object.values(fields).map((value) => value ?? null);
}
