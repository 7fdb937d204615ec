import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { getHeapSpaceStatistics } from 'node:v8';
import { collectStart } from './collect-start.ts';
import { limitYoungGeneration } from './young-generation.ts';

const MIB = 1024 * 1024;

/** Much survives for a while, which makes the young generation grow; resolves to its size. */
async function fill(): Promise<number> {
  let kept: object[] = [];
  for (let n = 0; n < 6_000_000; n++) {
    kept.push({ n });
    if (kept.length === 300_000) kept = [];
    if (n % 10_000 === 0) await setImmediate();
  }
  return getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space')?.space_size ?? 0;
}

test('the young generation grows to what is enough and no further, however often it has become small', async () => {
  const unlimited = await fill();
  collectStart();
  limitYoungGeneration();
  const limited = await fill();
  // Which makes it small.
  collectStart();
  const again = await fill();
  assert.ok(unlimited > 60 * MIB, `${unlimited}`);
  for (const size of [limited, again]) assert.ok(size >= 8 * MIB && size <= 40 * MIB, `${size}`);
});
