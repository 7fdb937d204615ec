import assert from 'node:assert/strict';
import { test } from 'node:test';
import { durationText } from './limit-headers.ts';

test('durations as OpenAI writes them, never too short', () => {
  const cases: readonly (readonly [ms: number, text: string])[] = [
    [0, '0s'],
    [0.2, '1ms'],
    [12, '12ms'],
    [999.5, '1000ms'],
    [1000, '1s'],
    [8640, '8.64s'],
    [59_991, '1m0s'],
    [360_000, '6m0s'],
    [61_500, '1m1.5s'],
    [3_603_000, '1h0m3s'],
    [86_400_000, '24h0m0s'],
  ];
  for (const [ms, text] of cases) assert.equal(durationText(ms), text);
});
