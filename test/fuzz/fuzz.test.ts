import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fuzz } from './fuzz.ts';

test('what the parser of responses takes, llhttp takes too, and reads alike', () => {
  const { looser, stricter, same } = fuzz(20_000, 1);
  assert.deepEqual(looser, []);
  // A parser that refused everything would not be looser either.
  const refused = [...stricter.values()].reduce((sum, count) => sum + count, 0);
  assert.ok(same > 50 * refused, `${same} alike, ${refused} refused`);
});
