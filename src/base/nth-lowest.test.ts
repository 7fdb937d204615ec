import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { nthLowest } from './nth-lowest.ts';

test('is what sorting would put there, with ties too', () => {
  const values = fc.oneof(
    fc.array(fc.double({ noNaN: true }), { minLength: 1, maxLength: 60 }),
    fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 60 }),
  );
  fc.assert(
    fc.property(values, fc.nat(), (list, any) => {
      const place = any % list.length;
      const sorted = Float64Array.from(list).sort();
      // Zeros of both signs are equal here.
      assert.ok(nthLowest(Float64Array.from(list), place) === sorted[place]);
      assert.ok(nthLowest(Float64Array.from([...list, -1, 9]), place, list.length) === sorted[place]);
    }),
    { seed: 3 },
  );
});
