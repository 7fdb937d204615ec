import assert from 'node:assert/strict';
import { it } from 'node:test';
import { prompt } from '../../test/support/pool.ts';
import { IndexTable } from './index-table.ts';
import { allocateTable, ENTRY, MOST_SLOTS } from './table-memory.ts';
import { IndexReader, TableReader } from './table-reader.ts';

/** Of a worker whose cache is not known. */
const use = (usedAt: number) => ({ usedAt, tokens: 16, capacity: Infinity });

const shared = (bytes: number): SharedArrayBuffer => new SharedArrayBuffer(bytes);

it('an entry that is half another one is nobody’s', () => {
  const memory = allocateTable(4096, shared);
  const table = new IndexTable(memory, 100);
  table.record(prompt(16, 1), 0, use(0));
  table.record(prompt(16, 2), 1, use(0));
  const reader = new IndexReader(new TableReader(memory));
  const seen = (): number[] => [0, 1].map((slot) => reader.match(prompt(16, 1), slot));
  assert.deepEqual(seen(), [16, 0]);
  const words = new Int32Array(memory.entries);
  const rowAt = (entry: number): number => entry * ENTRY.WORDS + ENTRY.ROW;
  // The first block's entry is about to become another worker's: its row is written, the hash not yet.
  words[rowAt(1)] = words[rowAt(2)]!;
  assert.deepEqual(seen(), [0, 0]);
  const { rows, tokens } = reader.matchAll(prompt(16, 1), 2);
  assert.deepEqual([tokens[rows[0]!], tokens[rows[1]!]], [0, 0]);
});

it('entries that lead round and round are left after so many steps', () => {
  const memory = allocateTable(4096, shared);
  const table = new IndexTable(memory, 100);
  table.record(prompt(16, 1), 0, use(0));
  const words = new Int32Array(memory.entries);
  words[ENTRY.WORDS + ENTRY.CHAIN] = 1;
  const reader = new IndexReader(new TableReader(memory));
  assert.equal(reader.match(prompt(16, 1), 0), 16);
  words[ENTRY.WORDS + ENTRY.LOW]! ^= 1;
  assert.equal(reader.match(prompt(16, 1), 0), 0);
  assert.equal(reader.matchAll(prompt(16, 1), 1).tokens[1], 0);
});

it('workers beyond those that there is room for hold nothing, and nobody is harmed', () => {
  const table = new IndexTable(allocateTable(2 ** 20), 10);
  const reader = new IndexReader(table.reader);
  for (const slot of [3, MOST_SLOTS - 1, MOST_SLOTS, 3 * MOST_SLOTS]) table.record(prompt(32), slot, use(0));
  assert.deepEqual(
    [3, MOST_SLOTS - 1, MOST_SLOTS, 3 * MOST_SLOTS].map((slot) => reader.match(prompt(32), slot)),
    [32, 32, 0, 0],
  );
  const { rows, tokens } = reader.matchAll(prompt(32), MOST_SLOTS + 10);
  assert.deepEqual([tokens[rows[3]!], tokens[rows[MOST_SLOTS + 9]!]], [32, 0]);
  table.forget(3 * MOST_SLOTS);
  for (let slot = 0; slot < MOST_SLOTS; slot++) table.record(prompt(32), slot, use(0));
  assert.equal(reader.match(prompt(32), MOST_SLOTS - 2), 0, 'one row is that of those that have none');
});
