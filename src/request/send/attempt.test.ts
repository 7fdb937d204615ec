import assert from 'node:assert/strict';
import { test } from 'node:test';
import { retryAfterMs } from './attempt.ts';

const NOW = Date.parse('2026-11-03T09:21:07.500Z');

for (const [value, expected] of [
  ['0', 0],
  ['3', 3_000],
  [' 120 ', 120_000],
  ['Tue, 03 Nov 2026 09:21:17 GMT', 9_500],
  ['Tue, 03 Nov 2026 09:21:07 GMT', 0],
  ['Thu, 01 Jan 1970 00:00:00 GMT', 0],
  ['', undefined],
  ['soon', undefined],
  ['-1', undefined],
  ['1.5', undefined],
  ['1e3', undefined],
  ['0x10', undefined],
] as const) {
  test(`Retry-After "${value}" is ${expected === undefined ? 'nothing' : `${expected} ms`}`, () => {
    assert.equal(retryAfterMs(['Retry-After', value], NOW), expected);
  });
}

test('no Retry-After is nothing', () => {
  assert.equal(retryAfterMs(['x-retry-after', '3'], NOW), undefined);
});

test('a delay beyond all reason stays a delay', () => {
  assert.ok((retryAfterMs(['retry-after', '9'.repeat(40)], NOW) ?? 0) > 1e12);
});
