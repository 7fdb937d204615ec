import assert from 'node:assert/strict';
import { test } from 'node:test';
import { acceptsCoding } from './accept-encoding.ts';

for (const [value, coding, accepts] of [
  [undefined, 'gzip', true],
  ['', 'gzip', false],
  ['gzip, deflate, br', 'br', true],
  ['gzip, deflate, br', 'zstd', false],
  ['GZIP', 'gzip', true],
  ['x-gzip', 'gzip', true],
  ['gzip', 'x-gzip', true],
  ['gzip;q=0', 'gzip', false],
  ['gzip ; Q=0.000', 'gzip', false],
  ['gzip;q=0.001', 'gzip', true],
  ['gzip;q=', 'gzip', false],
  ['gzip;q=2', 'gzip', false],
  ['*', 'zstd', true],
  ['*;q=0', 'zstd', false],
  ['*;q=0, gzip', 'gzip', true],
  ['gzip;q=0, *', 'gzip', false],
  ['*, gzip;q=0', 'gzip', false],
  ['identity', 'gzip', false],
  ['identity;q=0', 'gzip', false],
  ['gzipped', 'gzip', false],
] as const) {
  test(`Accept-Encoding: ${value ?? '(none)'} ${accepts ? 'takes' : 'does not take'} ${coding}`, () => {
    const headers = ['Host', 'a', ...(value === undefined ? [] : ['Accept-Encoding', value])];
    assert.equal(acceptsCoding(headers, coding), accepts);
  });
}

test('several headers are one list', () => {
  const headers = ['Accept-Encoding', 'br', 'accept-encoding', 'gzip;q=0.5'];
  assert.equal(acceptsCoding(headers, 'gzip'), true);
  assert.equal(acceptsCoding(headers, 'deflate'), false);
});
