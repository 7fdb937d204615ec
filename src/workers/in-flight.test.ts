import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { InFlightList, type InFlight } from './in-flight.ts';

const part = (): InFlight => ({ cut: () => undefined, place: -1, awaited: undefined });

test('however requests come and go, exactly those under way are in the list', () => {
  const step = fc.record({ adds: fc.boolean(), which: fc.nat({ max: 9 }) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
      const parts = Array.from({ length: 10 }, part);
      const list = new InFlightList();
      const expected = new Set<InFlight>();
      for (const { adds, which } of steps) {
        const chosen = parts[which] ?? part();
        if (adds) list.add(chosen);
        else list.delete(chosen);
        if (adds) expected.add(chosen);
        else expected.delete(chosen);
        assert.equal(list.size, expected.size);
        assert.deepEqual(new Set(list), expected);
      }
    }),
  );
});

test('a request of another worker is left alone', () => {
  const [one, other] = [new InFlightList(), new InFlightList()];
  const [mine, theirs] = [part(), part()];
  one.add(mine);
  other.add(theirs);
  one.delete(theirs);
  assert.deepEqual([...one], [mine]);
  assert.deepEqual([...other], [theirs]);
});
