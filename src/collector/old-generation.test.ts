import assert from 'node:assert/strict';
import { test } from 'node:test';
import { growthPercent } from './old-generation.ts';

const MIB = 1024 * 1024;

test('64 MiB may come to whatever lives, and where that is little of it V8 decides alone', () => {
  for (const [live, percent] of [
    [16, 400],
    [32, 200],
    [64, 100],
    [320, 20],
    [400, 0],
    [4_000, 0],
  ] as const)
    assert.equal(growthPercent(live * MIB), percent, `${live} MiB`);
});
