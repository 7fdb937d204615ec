import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ValueEnd, visitElements } from './value-end.ts';

fc.configureGlobal({ seed: 7 });

function elementsOf(json: Buffer): string[] | undefined {
  const found: string[] = [];
  const isList = visitElements(json, (start, end, index) => {
    assert.equal(index, found.length);
    found.push(json.toString('utf8', start, end));
    return true;
  });
  return isList ? found : undefined;
}

const value = fc.oneof(
  fc.jsonValue().map((one) => JSON.stringify(one, undefined, 1)),
  fc.constantFrom('"\\\\"', '"\\""', '[["]"]]', '{"a":"}\\\\"}', '-1.5e+7', 'NaN', '[]'),
);

test('a value ends where it ends, however it is cut', () => {
  fc.assert(
    fc.property(
      value,
      fc.constantFrom(',', '}', ']', ' ', '\n'),
      fc.array(fc.nat(), { maxLength: 8 }),
      (json, then, cuts) => {
        const bytes = Buffer.from(`${json}${then}"x"`);
        const places = [...new Set(cuts.map((at) => at % bytes.length))].sort((a, b) => a - b);
        const ends = new ValueEnd(bytes[0] ?? 0);
        const edges = [0, ...places, bytes.length];
        for (let index = 0; index + 1 < edges.length; index += 1) {
          const [from = 0, to = 0] = edges.slice(index, index + 2);
          const end = ends.in(bytes.subarray(from, to), 0);
          if (end < 0) continue;
          assert.equal(from + end, Buffer.byteLength(json));
          return;
        }
        assert.fail('no end was seen');
      },
    ),
    { numRuns: 1000 },
  );
});

test('the elements of a list are what stands between its commas', () => {
  fc.assert(
    fc.property(fc.array(value, { maxLength: 6 }), fc.constantFrom('', ' ', '\n '), (elements, gap) => {
      const bytes = Buffer.from(`[${gap}${elements.join(`${gap},${gap}`)}${gap}]`);
      const found = elementsOf(bytes);
      assert.deepEqual(found, elements);
    }),
    { numRuns: 500 },
  );
  for (const json of ['', '{}', '[', '[1', '[1,', '[1,]', '[,1]', '[1 2]', '["a]', '[[1]']) {
    assert.equal(elementsOf(Buffer.from(json)), undefined, json);
  }
});

test('a search ends where enough was seen', () => {
  let seen = 0;
  assert.equal(
    visitElements(Buffer.from('[1,2,3,4]'), (_start, _end, index) => (seen = index) < 1),
    false,
  );
  assert.equal(seen, 1);
});
