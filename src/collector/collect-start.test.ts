import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { getHeapStatistics } from 'node:v8';
import { Worker } from 'node:worker_threads';
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

test('threads that do so at the same time do not hinder each other', async () => {
  const url = new URL('./collect-start.ts', import.meta.url);
  const source = `import { collectStart } from '${url.href}'; for (let n = 0; n < 10; n++) collectStart();`;
  const script = new URL(`data:text/javascript,${encodeURIComponent(source)}`);
  const ends = await Promise.allSettled(
    Array.from({ length: 6 }, async () => {
      const [code] = (await once(new Worker(script), 'exit')) as [number];
      return code;
    }),
  );
  for (const end of ends) assert.deepEqual(end, { status: 'fulfilled', value: 0 });
});
