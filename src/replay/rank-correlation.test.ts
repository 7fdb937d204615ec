import assert from 'node:assert/strict';
import { test } from 'node:test';
import { rankCorrelation } from './rank-correlation.ts';

test('1 for the same order, -1 for the reverse, between for the rest, NaN where there is no order', () => {
  const near = (actual: number, expected: number): void =>
    assert.ok(Math.abs(actual - expected) < 1e-12, String(actual));
  near(
    rankCorrelation([
      [1, 10],
      [2, 200],
      [3, 201],
    ]),
    1,
  );
  near(
    rankCorrelation([
      [1, 3],
      [2, 2],
      [3, 1],
    ]),
    -1,
  );
  // By hand: ranks 0 1 2 3 against 1 0 3 2.
  near(
    rankCorrelation([
      [1, 2],
      [2, 1],
      [3, 4],
      [4, 3],
    ]),
    0.6,
  );
  // Equal values share a rank: 0.5 0.5 2 against 0 1 2.
  near(
    rankCorrelation([
      [5, 1],
      [5, 2],
      [6, 3],
    ]),
    1.5 / Math.sqrt(1.5 * 2),
  );
  assert.ok(
    Number.isNaN(
      rankCorrelation([
        [1, 1],
        [1, 2],
      ]),
    ),
  );
});
