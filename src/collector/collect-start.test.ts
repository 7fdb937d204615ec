import assert from 'node:assert/strict';
import { test } from 'node:test';
import { getHeapStatistics } from 'node:v8';
import { collectStart } from './collect-start.ts';

const MIB = 1024 * 1024;

/** Enough to make the young generation as large as it gets. */
function fill(): number {
  let kept: object[] = [];
  for (let n = 0; n < 2_000_000; n++) {
    kept.push({ n });
    if (kept.length === 500_000) kept = [];
  }
  return getHeapStatistics().total_heap_size;
}

test('what the heap has grown by is given back, and the way to the collector is closed again', () => {
  const before = getHeapStatistics().total_heap_size;
  const grown = fill() - before;
  assert.ok(grown > 20 * MIB, `${grown} bytes`);
  collectStart();
  const left = getHeapStatistics().total_heap_size - before;
  assert.ok(left < grown / 4, `${left} of ${grown} bytes are left`);
  assert.equal('gc' in globalThis, false);
});
