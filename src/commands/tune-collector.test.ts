import assert from 'node:assert/strict';
import { constants, PerformanceObserver, type PerformanceEntry } from 'node:perf_hooks';
import { test } from 'node:test';
import { tuneCollector } from './tune-collector.ts';

const BODY_BYTES = 450_000;
const BODIES = 3_000;
const AT_ONCE = 50;

/** How often the whole heap is looked through while bodies come and go. */
async function wholeCollections(): Promise<number> {
  let count = 0;
  const observer = new PerformanceObserver((list) => {
    for (const { detail } of list.getEntries() as (PerformanceEntry & { detail: { kind: number } })[])
      if (detail.kind === constants.NODE_PERFORMANCE_GC_MAJOR) count += 1;
  });
  observer.observe({ entryTypes: ['gc'] });
  for (let sent = 0; sent < BODIES; sent += 1) {
    Buffer.allocUnsafeSlow(BODY_BYTES)[0] = 1;
    if (sent % AT_ONCE === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await new Promise((resolve) => setImmediate(resolve));
  observer.disconnect();
  return count;
}

test('bodies that come and go do not have the whole heap looked through', async () => {
  const untuned = await wholeCollections();
  tuneCollector();
  const tuned = await wholeCollections();
  assert.ok(untuned >= 8 && tuned <= untuned / 4, `${untuned} before, ${tuned} after`);
});
