import assert from 'node:assert/strict';
import { once } from 'node:events';
import { it } from 'node:test';
import { Worker } from 'node:worker_threads';
import { EXACT_PLAN } from '../../../test/threads/exact-plan.ts';
import { mayBeRecorded, SLOTS } from '../../../test/threads/index-plan.ts';
import type { Seen } from '../../../test/threads/index-reader.ts';
import { randomInt, seededRandom } from '../../base/random.ts';
import { ExactIndex } from './exact-index.ts';
import { allocateExact, LEAST_BYTES, SLOT } from './exact-memory.ts';
import type { ExactRow } from './row-table.ts';

const GENERATION = 1;

/** An engine that stores, drops, clears and leaves, as no real one does. */
function churn(index: ExactIndex, rows: (ExactRow | undefined)[], random: () => number): void {
  const slot = randomInt(random, SLOTS);
  const row = (rows[slot] ??= index.open(slot, 0));
  assert.ok(row);
  const kind = randomInt(random, 1000);
  const { planned, tokens, names } = EXACT_PLAN[randomInt(random, EXACT_PLAN.length)]!;
  if (kind < 5) {
    index.forget(row);
    rows[slot] = undefined;
  } else if (kind < 10) index.clear(row);
  else if (kind < 30) index.sweep(500);
  else if (kind < 100) index.remove(row, names.slice(2 * randomInt(random, names.length >>> 1)), 'gpu');
  else if (mayBeRecorded(planned, slot))
    index.store(row, {
      kind: 'stored',
      ...{ names, tokens, parent: undefined, extras: undefined, blockSize: 16, adapter: '', salt: '' },
      tier: kind < 300 ? 'cpu' : 'gpu',
    });
}

it('threads that look at the exact index never find a block for a worker that never held it', async (t) => {
  const memory = allocateExact(LEAST_BYTES, 99);
  const index = new ExactIndex(memory);
  const slots = new Int32Array(memory.slots);
  for (let slot = 0; slot < SLOTS; slot++) {
    slots[SLOT.WORDS * slot + SLOT.GENERATION] = GENERATION;
    index.setState(slot, GENERATION, 'live', 'whole');
  }
  const lookers = [1, 2].map((seed) => {
    const looker = new Worker(new URL('../../../test/threads/exact-looker.ts', import.meta.url), {
      workerData: { seed, memory },
    });
    t.after(() => looker.terminate());
    return looker;
  });
  await Promise.all(lookers.map((looker) => once(looker, 'online')));

  const random = seededRandom(5);
  const rows: (ExactRow | undefined)[] = [];
  const until = performance.now() + 4000;
  while (performance.now() < until) {
    for (let write = 0; write < 200; write++) churn(index, rows, random);
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
  }
  assert.ok(index.counts.evicted > 0 && index.counts.removed > 0, JSON.stringify(index.counts));
  for (const looker of lookers) {
    looker.postMessage('tell');
    // What exact-looker.ts answers.
    const [seen] = (await once(looker, 'message')) as [Seen];
    assert.deepEqual(seen.wrong, []);
    assert.ok(seen.looks > 100 && seen.found > 1000, JSON.stringify(seen));
  }
});
