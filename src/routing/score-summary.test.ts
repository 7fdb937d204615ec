import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { lowestOf, spreadOf } from './score-summary.ts';

/** Few different ones among them, as of workers that have nothing to do, and all that is no number. */
const score = fc.oneof(
  fc.integer({ min: 0, max: 3 }),
  fc.double({ min: -5, max: 5, noNaN: true }),
  fc.constantFrom(NaN, Infinity, -Infinity, 0, -0),
);
const scores = fc.array(score, { maxLength: 90 }).map((list) => Float64Array.from(list));

describe('the lowest scores', () => {
  it('are those that a sort would put first, and of equals the first', () => {
    fc.assert(
      fc.property(scores, fc.integer({ min: 0, max: 12 }), (row, count) => {
        const key = (place: number): number => (Number.isFinite(row[place]!) ? row[place]! : Infinity);
        const sorted = [...row.keys()].sort((a, b) => (key(a) === key(b) ? a - b : key(a) < key(b) ? -1 : 1));
        assert.deepEqual(lowestOf(row, count), sorted.slice(0, count));
      }),
      { numRuns: 1000, seed: 5 },
    );
  });
});

describe('what scores come to', () => {
  it('is the count, bounds and upper median of the finite ones that are not apart', () => {
    fc.assert(
      fc.property(scores, fc.array(fc.nat(), { maxLength: 10 }), (row, picks) => {
        const before = row.slice();
        const apart = row.length === 0 ? [] : picks.map((pick) => pick % row.length);
        const left = row.filter((one, place) => Number.isFinite(one) && !apart.includes(place)).sort();
        const spread = spreadOf(row, apart);
        assert.deepEqual(row, before);
        if (left.length === 0) assert.equal(spread, undefined);
        else {
          const { count, min, median, max } = spread!;
          // 0 and -0 are alike.
          const seen = [count, min, median, max].map((one) => one + 0);
          const expected = [left.length, left[0]!, left[left.length >> 1]!, left.at(-1)!].map(
            (one) => one + 0,
          );
          assert.deepEqual(seen, expected);
        }
      }),
      { numRuns: 2000, seed: 5 },
    );
  });
});
