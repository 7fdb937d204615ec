/** What simulated engines publish is, message by message, what a real vLLM published at the same steps. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { decode } from '@msgpack/msgpack';
import { capturedPayloads } from '../../../test/support/kv-captures.ts';
import { VirtualClock } from '../../base/virtual-clock.ts';
import { NO_SCOPE, scopeHash } from '../engine/cache-scope.ts';
import { MODEL_DEFAULTS } from '../engine/model-settings.ts';
import { blockHashes } from '../engine/tokens.ts';
import { WorkerModel } from '../engine/worker-model.ts';
import { encodeBatch } from './encode-batch.ts';
import { EventRecorder } from './event-recorder.ts';

const ids = (topic: number, length: number): number[] => Array.from({ length }, (_, i) => 1000 * topic + i);
const FIRST = ids(1, 241);

/** The prompts of the captures by their lengths, and how many tokens were generated; `'reset'` for the route of that name. */
const STEPS: readonly (
  | 'reset'
  | { readonly prompts: readonly (readonly number[])[]; readonly output?: number; readonly salt?: string }
)[] = [
  { prompts: [FIRST] },
  { prompts: [FIRST] },
  { prompts: [[...FIRST, ...ids(2, 64)]] },
  { prompts: [ids(3, 70)] },
  { prompts: [ids(4, 1)] },
  { prompts: [ids(5, 30)], output: 40 },
  { prompts: [ids(6, 126)] },
  { prompts: [ids(6, 126)], salt: 'tenant-a' },
  { prompts: [ids(7, 70), ids(7, 70)], output: 4 },
  // Two prompts of one request, which came one after the other.
  { prompts: [ids(8, 50)] },
  { prompts: [ids(9, 70)] },
  { prompts: [ids(10, 3000)] },
  { prompts: [ids(20, 3500)] },
  { prompts: [ids(30, 3500)] },
  { prompts: [ids(40, 3500)] },
  { prompts: [FIRST] },
  'reset',
  { prompts: [FIRST] },
];

/** The payloads of all messages. vLLM keeps one of its 256 blocks for itself. */
function published(hashes: 'int' | 'bytes'): readonly Buffer[] {
  const clock = new VirtualClock();
  const settings = { ...MODEL_DEFAULTS, blockSize: 32, blocks: 255, maxModelLen: 4096 };
  const model = new WorkerModel(settings, clock);
  const payloads: Buffer[] = [];
  model.observer = new EventRecorder(model, '0', (events) =>
    payloads.push(encodeBatch(events, clock.wall(), 0, { encoding: 'map', hashes })),
  );
  for (const step of STEPS) {
    if (step === 'reset') {
      model.cache.reset();
      continue;
    }
    const { prompts, output = 1, salt } = step;
    const scope = { ...NO_SCOPE, salt };
    for (const prompt of prompts) {
      const all = Int32Array.from([...prompt, ...ids(90, output)]);
      model.submit({
        ...{ promptTokens: prompt.length, outputTokens: output, finishedReason: 'length' },
        hashes: blockHashes(all, 32, scopeHash(scope)),
        tokens: { ids: all, scope },
        onDone: () => undefined,
      });
    }
    clock.advance(60_000);
  }
  return payloads;
}

/** A message with its numbers taken out: what a hash is, whether it was told of before, how many tokens; all else as it is. */
function shapesOf(payloads: readonly Uint8Array[]): readonly unknown[] {
  const told = new Set<string>();
  const nameOf = (hash: unknown): string =>
    hash instanceof Uint8Array ? Buffer.from(hash).toString('hex') : String(hash);
  const kindOf = (hash: unknown): string =>
    hash instanceof Uint8Array ? `${String(hash.length)} bytes` : typeof hash;
  const valueOf = (key: string, value: unknown): unknown => {
    if (key === 'parent_block_hash') return value === null ? null : [kindOf(value), told.has(nameOf(value))];
    if (key === 'token_ids' && Array.isArray(value)) return value.length;
    if (key !== 'block_hashes' || !Array.isArray(value)) return value;
    return value.map((hash: unknown) => [kindOf(hash), told.has(nameOf(hash))]);
  };
  return payloads.map((payload) => {
    // The first element is a float of 64 bits in both, which decoding does not show.
    assert.equal(Buffer.from(payload.subarray(0, 2)).toString('hex'), '93cb');
    const [, events, rank] = decode(payload, { useBigInt64: true }) as [
      number,
      Record<string, unknown>[],
      number,
    ];
    const shapes = events.map((event) => {
      const shape = Object.entries(event).map(([key, value]) => [key, valueOf(key, value)]);
      const hashes = event['block_hashes'];
      if (Array.isArray(hashes)) for (const hash of hashes) told.add(nameOf(hash));
      return shape;
    });
    return [shapes, rank];
  });
}

describe('messages of simulated engines', () => {
  for (const [capture, hashes] of [
    ['live', 'int'],
    ['bytes-hashes', 'bytes'],
  ] as const) {
    it(`have the events, fields and order of vLLM's: ${capture}`, () => {
      const captured = shapesOf(capturedPayloads(capture));
      const ours = shapesOf(published(hashes));
      assert.equal(ours.length, captured.length);
      for (const [at, shape] of ours.entries()) assert.deepEqual(shape, captured[at], `message ${at}`);
    });
  }
});
