import assert from 'node:assert/strict';
import { test } from 'node:test';
import { durationMs, restAfter } from './rest.ts';

test('429 rests for as long as it says, else until the limits are full again, else for a while', () => {
  assert.equal(restAfter(429, [], 3_000), 3_000);
  const exhausted = ['x-ratelimit-remaining-tokens', '0', 'x-ratelimit-reset-tokens', '6m0s'];
  assert.equal(restAfter(429, exhausted, undefined), 360_000);
  assert.equal(restAfter(429, [], undefined), 10_000);
  assert.equal(restAfter(429, [], 1e12), 600_000);
});

test('limits that are used up say so before anybody is refused', () => {
  const headers = ['x-ratelimit-remaining-requests', '0', 'x-ratelimit-reset-requests', '1.5s'];
  assert.equal(restAfter(200, headers, undefined), 1_500);
  assert.equal(restAfter(200, ['x-ratelimit-remaining-requests', '1'], undefined), 0);
  assert.equal(restAfter(200, ['x-ratelimit-remaining-requests', '0'], undefined), 0);
  assert.equal(restAfter(500, [], 9_000), 0);
});

test('a refused key rests for long, a refused request for less', () => {
  assert.equal(restAfter(401, [], undefined), 60_000);
  assert.equal(restAfter(403, [], undefined), 10_000);
});

test('durations are read as OpenAI writes them, and nothing else is', () => {
  assert.deepEqual(
    ['12ms', '8.64s', '6m0s', '1h0m3s', '20', '', 'soon', '-1s', '9'.repeat(40), '1s'.repeat(40)].map(
      durationMs,
    ),
    [12, 8640, 360_000, 3_603_000, 20_000, undefined, undefined, undefined, undefined, undefined],
  );
});
