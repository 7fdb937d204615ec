import { Encoder } from '@msgpack/msgpack';
import type { EngineEvent } from './engine-events.ts';

const encoder = new Encoder({ useBigInt64: true });

/** The payload of one message, as vLLM 0.32 sends it: each event a map, a removal for each block. */
export function payloadOf(events: readonly EngineEvent[], ts: number): Buffer {
  const bodies = events.flatMap((event) => (event.kind === 'stored' ? [storedOf(event)] : removedOf(event)));
  return Buffer.from(encoder.encode([ts + 0.5, bodies, 0]));
}

function storedOf({ blocks }: EngineEvent & { readonly kind: 'stored' }): object {
  return {
    type: 'BlockStored',
    block_hashes: Array.from({ length: blocks.names.length / 2 }, (_, at) => nameAt(blocks.names, at)),
    parent_block_hash: blocks.parent === undefined ? null : bigName(blocks.parent.low, blocks.parent.high),
    token_ids: Array.from(blocks.tokens),
    block_size: blocks.blockSize,
    lora_id: null,
    medium: 'GPU',
    lora_name: null,
    extra_keys: Array.from({ length: blocks.names.length / 2 }, () => null),
    group_idx: 0,
    kv_cache_spec_kind: 'full_attention',
  };
}

function removedOf({ names }: EngineEvent & { readonly kind: 'removed' }): object[] {
  return Array.from({ length: names.length / 2 }, (_, at) => ({
    type: 'BlockRemoved',
    block_hashes: [nameAt(names, at)],
    medium: 'GPU',
    group_idx: 0,
  }));
}

function nameAt(names: Uint32Array, at: number): bigint {
  return bigName(names[2 * at]!, names[2 * at + 1]!);
}

function bigName(low: number, high: number): bigint {
  return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
}
