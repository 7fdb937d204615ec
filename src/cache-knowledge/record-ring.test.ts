import assert from 'node:assert/strict';
import { it } from 'node:test';
import { prompt } from '../../test/support/pool.ts';
import { randomInt, seededRandom } from '../base/random.ts';
import { RecordRing, ringBytes } from './record-ring.ts';

const WORDS = 256;

it('records come out as they went in, round and round', () => {
  const memory = new SharedArrayBuffer(ringBytes(WORDS));
  const [writer, reader] = [new RecordRing(memory), new RecordRing(memory)];
  // As after half of the numbers there are.
  new Int32Array(memory).fill(2 ** 31 - 1000, 0, 2);
  const random = seededRandom(4);
  const expected: number[][] = [];
  let dropped = 0;
  for (let step = 0; step < 5000; step++) {
    if (random() < 0.5) {
      const blocks = prompt(16 * randomInt(random, 40), step);
      writer.append(blocks, { slot: step % 100, generation: step, tokens: step });
      if (reader.dropped === dropped)
        expected.push([step % 100, step, ...blocks.hashes.subarray(0, 2 * blocks.count)]);
      dropped = reader.dropped;
    } else {
      const record = reader.take();
      const shown = record && [
        ...[record.slot, record.generation],
        ...record.hashes.subarray(0, 2 * record.count),
      ];
      assert.deepEqual(shown, expected.shift());
    }
  }
  assert.ok(dropped > 100);
});

it('what has not been written to its end is not there, and the next record takes its place', () => {
  const memory = new SharedArrayBuffer(ringBytes(WORDS));
  const died = new RecordRing(memory);
  const halfWritten = {
    count: 8,
    get hashes(): Uint32Array {
      throw new Error('the thread has ended');
    },
  };
  assert.throws(() => died.append(halfWritten, { slot: 1, generation: 1, tokens: 1 }));
  const reader = new RecordRing(memory);
  assert.equal(reader.take(), undefined);
  const next = new RecordRing(memory);
  assert.equal(next.append(prompt(32), { slot: 7, generation: 3, tokens: 32 }), true);
  const record = reader.take();
  assert.deepEqual([record?.slot, record?.generation, record?.count], [7, 3, 2]);
  assert.equal(reader.take(), undefined);
});

it('wakes the reader once, and again after it has gone to rest', () => {
  const memory = new SharedArrayBuffer(ringBytes(WORDS));
  const ring = new RecordRing(memory);
  const append = (): boolean => ring.append(prompt(16), { slot: 0, generation: 1, tokens: 16 });
  assert.deepEqual([append(), append()], [true, false]);
  assert.equal(ring.rest(), false, 'there is something');
  assert.equal(append(), false);
  while (ring.take());
  assert.equal(ring.rest(), true);
  assert.deepEqual([append(), append()], [true, false]);
});

it('what was found of a cache comes out among the records, in its place', () => {
  const ring = new RecordRing(new SharedArrayBuffer(ringBytes(WORDS)));
  ring.append(prompt(32), { slot: 7, generation: 3, tokens: 32 });
  ring.appendFinding({ kind: 'forgot', usedAt: 123_456, blocks: 789 }, 7, 3);
  ring.appendFinding({ kind: 'kept' }, 8, 4);
  ring.append(prompt(16), { slot: 7, generation: 3, tokens: 0 });
  const taken = [0, 1, 2, 3].map(() => {
    const record = ring.take();
    return [record?.slot, record?.generation, record?.count, record?.tokens, record?.finding];
  });
  assert.deepEqual(taken, [
    [7, 3, 2, 32, undefined],
    [7, 3, 0, 0, { kind: 'forgot', usedAt: 123_456, blocks: 789 }],
    [8, 4, 0, 0, { kind: 'kept' }],
    [7, 3, 1, 0, undefined],
  ]);
});
