import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { decode, encode } from '@msgpack/msgpack';
import fc from 'fast-check';
import { capturedPayloads, type Capture } from '../../../test/support/kv-captures.ts';
import { AttentionGroups } from './attention-groups.ts';
import { BatchDecoder, type Batch } from './batch-decoder.ts';
import type { KvEvent, StoredEvent } from './kv-event.ts';

const CAPTURES: readonly Capture[] = ['live', 'bytes-hashes', 'dp2', 'pd-prefill', 'pd-decode'];

function read(bytes: Uint8Array, groups = new AttentionGroups()): Batch {
  const batch = new BatchDecoder().decode(Buffer.from(bytes), groups);
  assert.ok(batch.kind === 'batch', batch.kind === 'malformed' ? batch.reason : '');
  return batch;
}

/** A batch of events, given in whatever shape; every number that may be one is a 64-bit integer. */
function batchOf(...events: readonly unknown[]): Uint8Array {
  return encode([1.5, events, 0], { useBigInt64: true });
}

function stored(...events: readonly unknown[]): StoredEvent {
  const [event] = read(batchOf(...events)).events;
  assert.ok(event?.kind === 'stored');
  return event;
}

/** Names as the 64-bit numbers that they are. */
function bigNames(names: Uint32Array): bigint[] {
  return Array.from(
    { length: names.length / 2 },
    (_, i) => (BigInt(names[2 * i + 1]!) << 32n) | BigInt(names[2 * i]!),
  );
}

/** A name as msgpack's library gives it. */
function bigName(name: unknown): bigint {
  if (name instanceof Uint8Array) return Buffer.from(name).readBigUInt64BE(name.length - 8);
  assert.ok(typeof name === 'bigint' || typeof name === 'number');
  return BigInt.asUintN(64, BigInt(name));
}

/** An event of a capture, as it is to be read: by the library, and by nothing of ours. */
interface RawEvent {
  readonly type: string;
  readonly block_hashes: readonly unknown[];
  readonly parent_block_hash?: unknown;
  readonly token_ids: readonly number[];
  readonly block_size: number;
  readonly extra_keys?: readonly (readonly unknown[] | null)[] | null;
}

/** Removals that follow one another are one event to us. */
function expected(events: readonly RawEvent[]): unknown[] {
  const all: unknown[] = [];
  let names: bigint[] = [];
  for (const raw of events) {
    if (raw.type === 'BlockRemoved') {
      if (names.length === 0) all.push({ kind: 'removed', names, tier: 'gpu' });
      names.push(...raw.block_hashes.map(bigName));
      continue;
    }
    names = [];
    all.push(expectedOf(raw));
  }
  return all;
}

function expectedOf(raw: RawEvent): unknown {
  if (raw.type === 'AllBlocksCleared') return { kind: 'cleared' };
  const names = raw.block_hashes.map(bigName);
  const parent = raw.parent_block_hash ?? undefined;
  return {
    kind: 'stored',
    names,
    parent: parent === undefined ? undefined : bigName(parent),
    tokens: raw.token_ids,
    blockSize: raw.block_size,
    adapter: '',
    salt: parent === undefined ? (raw.extra_keys?.[0]?.[0] ?? '') : '',
    extras: undefined,
    tier: 'gpu',
  };
}

/** An event as read by us, in the form of `expected`. */
function shown(event: KvEvent): unknown {
  if (event.kind === 'cleared') return event;
  const names = bigNames(event.names);
  if (event.kind === 'removed') return { ...event, names };
  const { parent } = event;
  return {
    ...event,
    names,
    tokens: [...event.tokens],
    parent: parent && (BigInt(parent.high >>> 0) << 32n) | BigInt(parent.low >>> 0),
  };
}

describe('what vLLM 0.32 published', () => {
  for (const name of CAPTURES) {
    it(`in ${name} is read as the library reads it`, () => {
      const payloads = capturedPayloads(name);
      assert.ok(payloads.length > 0);
      for (const payload of payloads) {
        // The outer shape is that of an EventBatch.
        const [ts, events, rank] = decode(payload, { useBigInt64: true }) as [number, RawEvent[], number];
        const batch = read(payload);
        assert.equal(batch.ts, ts);
        assert.equal(batch.rank, rank);
        assert.deepEqual(batch.events.map(shown), expected(events));
        assert.deepEqual(batch.dropped, { unknown_type: 0, other_group: 0, misshapen: 0 });
      }
    });
  }

  it('has salts, evictions and a reset in it', () => {
    const events = capturedPayloads('live').flatMap((payload) => read(payload).events);
    assert.deepEqual(
      events.flatMap((event) => (event.kind === 'stored' && event.salt !== '' ? [event.salt] : [])),
      ['tenant-a'],
    );
    const removed = events.flatMap((event) => (event.kind === 'removed' ? bigNames(event.names) : []));
    assert.ok(removed.length > 100);
    assert.equal(events.filter((event) => event.kind === 'cleared').length, 1);
  });
});

describe('an event', () => {
  const TOKENS = [1, 200, 70_000, 4_294_967_295];

  it('is read from an array, with as many fields as its version had', () => {
    const old = ['BlockStored', [7n, 8n], null, TOKENS, 2];
    for (const more of [[], [null], [null, 'GPU'], [null, 'GPU', null, null, 0, 'full_attention', null]]) {
      const event = stored([...old, ...more]);
      assert.deepEqual(bigNames(event.names), [7n, 8n]);
      assert.deepEqual([...event.tokens], TOKENS);
      assert.equal(event.parent, undefined);
      assert.equal(event.tier, 'gpu');
    }
  });

  it('is read from a map, whatever the order and whatever else is in it', () => {
    const event = stored({
      session_id: { deep: [[[[]]]] },
      token_ids: TOKENS,
      block_size: 4,
      medium: 'CPU',
      ownership: 'tier-2',
      parent_block_hash: 2n ** 63n,
      type: 'BlockStored',
      block_hashes: [2n ** 64n - 1n],
      event_version: 3,
    });
    assert.deepEqual(bigNames(event.names), [2n ** 64n - 1n]);
    assert.deepEqual(event.parent, { low: 0, high: 2 ** 31 });
    assert.equal(event.tier, 'cpu');
  });

  it('in a batch that is a map is read as well, and without a rank', () => {
    const events = [['AllBlocksCleared']];
    assert.deepEqual(read(encode({ type: 'KVEventBatch', events, ts: 2 })).events, [{ kind: 'cleared' }]);
    const batch = read(encode([2, events]));
    assert.equal(batch.rank, undefined);
    assert.deepEqual(batch.events, [{ kind: 'cleared' }]);
  });

  it('names blocks by the last eight bytes of a digest, by negative numbers and by small ones', () => {
    const digest = Buffer.alloc(32, 1);
    digest.writeBigUInt64BE(0xfedcba9876543210n, 24);
    for (const [name, big] of [
      [digest, 0xfedcba9876543210n],
      [digest.subarray(16), 0xfedcba9876543210n],
      [-1n, 2n ** 64n - 1n],
      [-(2n ** 63n), 2n ** 63n],
      [-5, 2n ** 64n - 5n],
      [-300, 2n ** 64n - 300n],
      [-70_000, 2n ** 64n - 70_000n],
      [5, 5n],
      [3_000_000_000, 3_000_000_000n],
    ] as const) {
      assert.deepEqual(bigNames(stored(['BlockStored', [name], null, [1], 1]).names), [big], String(name));
    }
  });

  it('of a prompt’s beginning has the salt, without adapter and pictures, which go to their blocks', () => {
    const keys = [['lora-a', ['picture', 3], 'secret', Buffer.from('ab')], null, ['lora-a', ['picture', -1]]];
    const event = stored({
      type: 'BlockStored',
      block_hashes: [1, 2, 3],
      token_ids: [1, 2, 3],
      block_size: 1,
      lora_id: 4,
      lora_name: 'lora-a',
      extra_keys: keys,
    });
    assert.equal(event.adapter, 'lora-a');
    assert.equal(event.salt, 'secret');
    assert.deepEqual(event.extras, ['[["picture",3],{"hex":"6162"}]', '', '[["picture",-1]]']);
  });

  it('in the middle of a prompt has no salt: what is a text there belongs to the block', () => {
    const event = stored(['BlockStored', [2], 1, [1], 1, null, null, null, [['picture']]]);
    assert.equal(event.salt, '');
    assert.deepEqual(event.extras, ['["picture"]']);
  });

  it('of an adapter whose name is not told is of no adapter that a request could name', () => {
    assert.equal(stored(['BlockStored', [2], null, [1], 1, 7]).adapter, 'lora_id 7');
  });

  it('of older simulators has 0 for no parent', () => {
    assert.equal(stored(['BlockStored', [2], 0, [1], 1]).parent, undefined);
  });

  it('of an offloaded block has no tokens', () => {
    const event = stored(['BlockStored', [2, 3], null, [], 0, null, 'CPU']);
    assert.equal(event.tokens.length, 0);
    assert.equal(event.blockSize, 0);
    assert.equal(event.tier, 'cpu');
  });

  it('says the tier in vLLM’s words and in others', () => {
    const media = {
      GPU: 'gpu',
      CPU: 'cpu',
      STORAGE: 'disk',
      LocalCPUBackend: 'cpu',
      LocalDiskBackend: 'disk',
      hbm: 'gpu',
      new: 'disk',
    };
    for (const [medium, tier] of Object.entries(media)) {
      assert.deepEqual(
        read(batchOf(['BlockRemoved', [1], medium])).events.map(
          (event) => event.kind === 'removed' && event.tier,
        ),
        [tier],
        medium,
      );
    }
  });
});

describe('removals', () => {
  it('that follow one another are one event, and those of another tier another one', () => {
    const gpu = ['BlockRemoved', [1], 'GPU'];
    const events = read(
      batchOf(gpu, ['BlockRemoved', [2, 3]], ['BlockRemoved', [4], 'CPU'], gpu, ['AllBlocksCleared'], gpu),
    ).events;
    assert.deepEqual(
      events.map((event) => (event.kind === 'removed' ? [event.tier, ...bigNames(event.names)] : event.kind)),
      [['gpu', 1n, 2n, 3n], ['cpu', 4n], ['gpu', 1n], 'cleared', ['gpu', 1n]],
    );
  });

  it('of a batch are many', () => {
    const names = Array.from({ length: 5000 }, (_, i) => i);
    const events = read(batchOf(...names.map((name) => ['BlockRemoved', [name]]))).events;
    assert.deepEqual(
      events.map((event) => event.kind === 'removed' && bigNames(event.names)),
      [names.map(BigInt)],
    );
  });
});

describe('one decoder', () => {
  it('reads batch after batch, large and small ones, broken ones between them', () => {
    const decoder = new BatchDecoder();
    const groups = new AttentionGroups();
    for (const blocks of [1, 3000, 2, 90_000, 5]) {
      const names = Array.from({ length: blocks }, (_, i) => i + 1);
      const event = ['BlockStored', names, null, names.flatMap((name) => [name, name]), 2];
      const bytes = Buffer.from(batchOf(['BlockRemoved', [77]], event, event));
      assert.equal(decoder.decode(bytes.subarray(0, -2), groups).kind, 'malformed');
      const batch = decoder.decode(bytes, groups);
      assert.ok(batch.kind === 'batch');
      assert.equal(batch.events.length, 3);
      for (const read of batch.events.slice(1)) {
        assert.ok(read.kind === 'stored');
        assert.deepEqual([read.names.length, read.tokens.length], [2 * blocks, 2 * blocks]);
        assert.ok(read.names.every((half, i) => half === (i % 2 === 0 ? i / 2 + 1 : 0)));
        assert.ok(read.tokens.every((token, i) => token === Math.floor(i / 2) + 1));
      }
    }
  });
});

describe('what is passed over', () => {
  it('are types that are not known, of either encoding', () => {
    const batch = read(
      batchOf(['BlockMoved', [1]], { type: 'BlockMoved' }, { block_hashes: [1] }, ['AllBlocksCleared']),
    );
    assert.deepEqual(batch.events, [{ kind: 'cleared' }]);
    assert.equal(batch.dropped.unknown_type, 3);
  });

  it('are blocks whose tokens, size or keys do not fit', () => {
    const batch = read(
      batchOf(
        ['BlockStored', [1, 2], null, [1, 2, 3], 2],
        ['BlockStored', [1, 2], null, [1, 2, 3], 1.5],
        ['BlockStored', [1], null, [-1], 1],
        ['BlockStored', [1], null, ['x'], 1],
        ['BlockStored', [1], null, [2 ** 33], 1],
        ['BlockStored', [1], null, [1], 1, null, null, null, [null, ['a']]],
        ['BlockStored', [1], null, null, 1],
      ),
    );
    assert.deepEqual(batch.events, []);
    assert.equal(batch.dropped.misshapen, 7);
  });

  it('are groups of layers that do not keep the whole prompt, stored and removed', () => {
    const groups = new AttentionGroups();
    const event = (group: number, kind: string): readonly unknown[] => [
      'BlockStored',
      [1],
      null,
      [1],
      1,
      null,
      'GPU',
      null,
      null,
      group,
      kind,
    ];
    const first = read(
      batchOf(
        event(0, 'sliding_window'),
        event(1, 'full_attention'),
        event(2, 'mamba'),
        event(3, 'full_attention'),
      ),
      groups,
    );
    assert.equal(first.events.length, 1);
    assert.equal(first.dropped.other_group, 3);
    const removed = [0, 1, 2, 3].map((group) => ['BlockRemoved', [1], 'GPU', group]);
    const second = read(batchOf(...removed), groups);
    assert.deepEqual(
      second.events.map((event) => event.kind === 'removed' && bigNames(event.names)),
      [[1n]],
    );
    assert.equal(second.dropped.other_group, 3);
    groups.forget();
    assert.equal(read(batchOf(event(0, 'mla_attention'), ['BlockRemoved', [1]]), groups).events.length, 2);
  });

  it('is any group but the first where the engine does not say the kind', () => {
    const event = (group: number | null): readonly unknown[] => [
      'BlockStored',
      [1],
      null,
      [1],
      1,
      null,
      'GPU',
      null,
      null,
      group,
    ];
    assert.equal(read(batchOf(event(null), event(0), event(1))).events.length, 2);
  });
});

describe('a batch that cannot be read', () => {
  const malformed = (bytes: Uint8Array): string => {
    const batch = new BatchDecoder().decode(Buffer.from(bytes), new AttentionGroups());
    assert.equal(batch.kind, 'malformed');
    return batch.reason;
  };

  it('is told as such: of another shape, or with an event that names no blocks', () => {
    for (const value of [
      null,
      7,
      'text',
      [],
      [1],
      [1, 2],
      ['x', []],
      {},
      { ts: 1 },
      [1, [7]],
      [1, [[]]],
      [1, [[7]]],
    ])
      malformed(encode(value));
    malformed(batchOf(['BlockRemoved']));
    malformed(batchOf(['BlockRemoved', ['name']]));
    malformed(batchOf(['BlockRemoved', [1.5]]));
    malformed(batchOf(['BlockRemoved', [Buffer.alloc(7)]]));
    malformed(batchOf(['BlockRemoved', 7]));
    malformed(batchOf(['BlockRemoved', [1], 7]));
    malformed(batchOf(['BlockStored', [1], null, [1], 'x']));
    malformed(batchOf(['BlockStored', [1], null, [1], 1, null, null, null, [[{ map: 1 }]]]));
    malformed(Buffer.concat([batchOf(), Buffer.from([0])]));
  });

  it('has lengths that its bytes cannot hold, or is cut off: nothing is allocated for it', () => {
    const huge = Buffer.from('93cb3ff8000000000000ddffffffff', 'hex');
    assert.equal(malformed(huge), 'cut off');
    const whole = Buffer.from(capturedPayloads('live')[0]!);
    for (let end = 0; end < whole.length; end += 7) malformed(whole.subarray(0, end));
  });

  it('is nested however deep: it is passed over without a stack', () => {
    const depth = 1_000_000;
    const deep = Buffer.concat([
      Buffer.from('92cb3ff800000000000091', 'hex'),
      Buffer.from('92a161', 'hex'),
      Buffer.alloc(depth, 0x91),
      Buffer.from([0xc0]),
    ]);
    assert.equal(read(deep).dropped.unknown_type, 1);
  });

  it('of any bytes, or of a real one with some changed, is an answer and no error', () => {
    const real = CAPTURES.flatMap(capturedPayloads);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        new BatchDecoder().decode(Buffer.from(bytes), new AttentionGroups());
      }),
    );
    fc.assert(
      fc.property(
        fc.nat(real.length - 1),
        fc.array(fc.tuple(fc.double({ min: 0, max: 0.999, noNaN: true }), fc.nat(255)), {
          minLength: 1,
          maxLength: 6,
        }),
        (which, changes) => {
          const bytes = Buffer.from(real[which]!);
          for (const [where, value] of changes) bytes[Math.floor(where * bytes.length)] = value;
          new BatchDecoder().decode(Buffer.from(bytes), new AttentionGroups());
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe('skipping', () => {
  it('passes over any value as the library writes it', () => {
    fc.assert(
      fc.property(fc.anything({ withBigInt: false, withTypedArray: true }), (value) => {
        let bytes: Uint8Array;
        try {
          bytes = encode(['Unknown', value]);
        } catch {
          // Not everything has an encoding.
          return;
        }
        const batch = Buffer.concat([
          Buffer.from('92cb3ff8000000000000', 'hex'),
          Buffer.from([0x92]),
          bytes,
          encode(['AllBlocksCleared']),
        ]);
        assert.deepEqual(read(batch).events, [{ kind: 'cleared' }]);
      }),
    );
  });
});
