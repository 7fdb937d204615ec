import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MemberScan } from './member-scan.ts';

fc.configureGlobal({ seed: 7 });

interface Found {
  readonly whole: boolean;
  readonly ranges: readonly number[];
}

function scan(json: Buffer, stops: readonly number[]): Found {
  const ranges: number[] = [];
  const one = new MemberScan(json, (...range) => {
    ranges.push(...range);
    return true;
  });
  for (const stop of stops) {
    const whole = one.look(stop);
    if (whole !== undefined) return { whole, ranges };
  }
  const whole = one.look(json.length);
  assert.notEqual(whole, undefined);
  return { whole: whole === true, ranges };
}

function everyStop(json: Buffer): number[] {
  return Array.from(json, (_, at) => at);
}

const CHARACTERS = Array.from('{}[]",:\\ \n01-+.eEtrufalsn\u00e9');
const long = fc.tuple(
  fc.constantFrom('\\"', 'x', '\\\\', '\\u0022', '],{'),
  fc.integer({ min: 20, max: 90 }),
);
const piece = fc.oneof(
  fc.constantFrom(...CHARACTERS),
  fc.constantFrom('"a":', '"b":[', '{"c":', ',"d":"', '"},', '\\"'),
  long.map(([of, times]) => `"${of.repeat(times)}"`),
);
const texts = fc.array(piece, { maxLength: 40 }).map((parts) => parts.join(''));
const values = fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue(), { maxKeys: 5 });
const documents = fc.oneof(
  texts,
  texts.map((text) => `{${text}}`),
  values.map((value) => JSON.stringify(value)),
  values.map((value) => JSON.stringify(value, undefined, 1)),
  fc.tuple(values, texts).map(([value, text]) => JSON.stringify({ ...value, text, list: [text, { text }] })),
);

test('finds the same wherever it has to stop', () => {
  fc.assert(
    fc.property(documents, fc.array(fc.nat(600)), (text, stops) => {
      const json = Buffer.from(text);
      const expected = scan(json, []);
      const inOrder = stops.toSorted((left, right) => left - right);
      assert.deepEqual(scan(json, inOrder), expected);
      assert.deepEqual(scan(json, everyStop(json)), expected);
    }),
    { numRuns: 2000 },
  );
});

test('looks no further than it is told', () => {
  const json = Buffer.from('{"a":"b","c":[1,2]}');
  const seen: number[] = [];
  const one = new MemberScan(json, (keyStart) => seen.push(keyStart) > 0);
  assert.equal(one.look(4), undefined);
  assert.deepEqual(seen, []);
  assert.equal(one.look(8), undefined);
  assert.deepEqual(seen, [1]);
  assert.equal(one.look(json.length), true);
  assert.deepEqual(seen, [1, 9]);
});

test('ends with the first member that is not wanted', () => {
  let visits = 0;
  const one = new MemberScan(Buffer.from('{"a":1,"b":2,"c":3}'), () => ++visits < 2);
  assert.equal(one.look(100), false);
  assert.equal(visits, 2);
});
