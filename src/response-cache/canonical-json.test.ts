import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { canonicalJson } from './canonical-json.ts';

const NONE: ReadonlySet<string> = new Set();

function canonical(text: string, ...without: string[]): string | undefined {
  return canonicalJson(Buffer.from(text), new Set(without))?.toString();
}

/** The same value, its members in another order, with white space and needless escapes. */
function respell(value: unknown, turn: number): string {
  if (Array.isArray(value)) return `[ ${value.map((one) => respell(one, turn + 1)).join(' ,\n')}\t]`;
  if (typeof value === 'string') return escaped(value, turn);
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const entries = Object.entries(value);
  const turned = entries
    .slice(turn % (entries.length || 1))
    .concat(entries.slice(0, turn % (entries.length || 1)));
  return `{ ${turned.map(([key, one]) => `${escaped(key, turn)} : ${respell(one, turn + 1)}`).join('\r\n,')} }`;
}

function escaped(text: string, turn: number): string {
  if (turn % 2 === 0) return JSON.stringify(text);
  const units = Array.from({ length: text.length }, (_, at) =>
    text.charCodeAt(at).toString(16).padStart(4, '0'),
  );
  return `"${units.map((unit) => `\\u${unit}`).join('')}"`;
}

describe('the canonical form of a body', () => {
  it('is the same for all spellings of one value', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue()), fc.nat(9), (value, turn) => {
        const written = JSON.stringify(value);
        assert.equal(canonical(respell(JSON.parse(written), turn)), canonical(written));
      }),
    );
  });

  it('differs where the values differ', () => {
    const object = fc.dictionary(fc.string({ maxLength: 3 }), fc.jsonValue({ maxDepth: 2 }), { maxKeys: 3 });
    fc.assert(
      fc.property(object, object, (left, right) => {
        const same = canonical(JSON.stringify(left)) === canonical(JSON.stringify(right));
        const sorted = (value: unknown): unknown =>
          typeof value !== 'object' || value === null || Array.isArray(value)
            ? Array.isArray(value)
              ? value.map(sorted)
              : value
            : Object.entries(value)
                .map(([key, one]): [string, unknown] => [key, sorted(one)])
                .sort(([a], [b]) => (a < b ? -1 : 1));
        assert.equal(same, JSON.stringify(sorted(left)) === JSON.stringify(sorted(right)));
      }),
      { numRuns: 1000 },
    );
  });

  it('keeps the spelling of numbers, and words that only Python knows', () => {
    assert.equal(canonical('{"b":1.0,"a":[1,1e0,-0.5,NaN]}'), '{"a":[1,1e0,-0.5,NaN,],"b":1.0,}');
  });

  it('is without the members that do not count, but only outermost', () => {
    assert.equal(
      canonical('{"user":"a","x":{"user":1},"str\\u0065am":true}', 'user', 'stream'),
      '{"x":{"user":1,},}',
    );
  });

  it('begins behind a byte order mark', () => {
    assert.equal(canonical('\ufeff{"a":1}'), '{"a":1,}');
  });

  for (const [what, text] of [
    ['a member that comes twice', '{"a":1,"a":1}'],
    ['one that comes twice in two spellings', '{"a":1,"\\u0061":2}'],
    ['one that comes twice further in', '{"x":[{"a":1,"a":1}]}'],
    ['something behind it', '{"a":1} 2'],
    ['no end', '{"a":[1,{"b":"c"'],
    ['a string without an end', '{"a":"b\\"}'],
    ['no value', '{"a":}'],
    ['a comma too many', '{"a":1,}'],
    ['a comma too few', '{"a":[1 2]}'],
    ['a bad escape', '{"a":"\\x"}'],
    ['no object', '[1]'],
    ['nothing', ''],
    ['too many levels', `{"a":${'['.repeat(300)}${']'.repeat(300)}}`],
  ] as const) {
    it(`does not exist for a body with ${what}`, () => {
      assert.equal(canonical(text), undefined);
    });
  }

  it('does not exist where escapes stand between bytes that are no text', () => {
    const body = Buffer.concat([Buffer.from('{"a":"\\n'), Buffer.from([0xff]), Buffer.from('"}')]);
    assert.equal(canonicalJson(body, NONE), undefined);
  });

  it('fits into its buffer, however the body is made', () => {
    for (const text of [
      '{"":[[[[[[[[]]]]]]]]}',
      '{"a":{},"b":{},"":[]}',
      '{}',
      `{"a":[${'[],'.repeat(50)}[]]}`,
    ])
      assert.equal(typeof canonical(text), 'string');
  });
});
