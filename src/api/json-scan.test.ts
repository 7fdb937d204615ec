import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isDense, keyAmong, scanMembers } from './json-scan.ts';

fc.configureGlobal({ seed: 7 });

function membersOf(json: string): readonly (readonly [key: string, value: string])[] | undefined {
  const bytes = Buffer.from(json);
  return scanMembers(bytes)?.map(({ key, start, end }) => [key, bytes.toString('utf8', start, end)]);
}

/** The same document with white space wherever JSON allows it. */
function spaced(value: unknown, space: () => string): string {
  const around = (text: string): string => space() + text + space();
  if (Array.isArray(value))
    return `[${value.map((item) => around(spaced(item, space))).join(',') || space()}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.entries(value).map(
    ([key, member]) => `${around(JSON.stringify(key))}:${around(spaced(member, space))}`,
  );
  return `{${members.join(',') || space()}}`;
}

const spaces = fc.array(fc.constantFrom('', '', ' ', '\n', '\t', '\r\n  '), { minLength: 1, maxLength: 7 });
const objects = fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue(), { maxKeys: 6 });

test('finds the members that a parser finds, however they are spaced', () => {
  fc.assert(
    fc.property(objects, spaces, (value, pattern) => {
      let at = 0;
      const json = spaced(value, () => pattern[at++ % pattern.length] ?? '');
      const members = membersOf(json);
      assert.deepEqual(
        members?.map(([key, text]) => [key, JSON.parse(text)]),
        Object.entries(JSON.parse(json) as object),
      );
    }),
  );
});

test('ranges exclude the space around a value and nothing else', () => {
  const json = '  { "a" :  1e5 , "b":\t"x\\"}{" ,"c":[ 1 , {"d":"]"} ] , "": null}\r\n';
  assert.deepEqual(membersOf(json), [
    ['a', '1e5'],
    ['b', '"x\\"}{"'],
    ['c', '[ 1 , {"d":"]"} ]'],
    ['', 'null'],
  ]);
});

test('keys are decoded, duplicates and their order are kept', () => {
  assert.deepEqual(membersOf('{"mod\\u0065l":"a","model":"b","m\\\\":1}'), [
    ['model', '"a"'],
    ['model', '"b"'],
    ['m\\', '1'],
  ]);
});

test('an escaped quote or backslash at the end of a string does not end it too early or too late', () => {
  assert.deepEqual(membersOf('{"a":"\\\\","b":"\\\\\\"","c":"\\\\\\\\"}'), [
    ['a', '"\\\\"'],
    ['b', '"\\\\\\""'],
    ['c', '"\\\\\\\\"'],
  ]);
});

test('what is cut off anywhere is not an object', () => {
  const json = '{"a":[1,{"b":"c\\n"}],"d":-1.5e+3,"e":true,"f":"\\""}';
  for (let end = 0; end < json.length; end += 1)
    assert.equal(membersOf(json.slice(0, end)), undefined, json.slice(0, end));
  assert.equal(membersOf(json)?.length, 4);
});

for (const [what, json] of Object.entries({
  nothing: '',
  'only space': ' \n',
  'an array': '[1]',
  'a string': '"{}"',
  'two objects': '{}{}',
  'text behind the object': '{"a":1} x',
  'a trailing comma': '{"a":1,}',
  'a leading comma': '{,"a":1}',
  'no colon': '{"a" 1}',
  'no value': '{"a":}',
  'a key without quotes': '{a:1}',
  'a number as key': '{1:1}',
  'single quotes': "{'a':1}",
  'a bare word': '{"a":yes}',
  'a number with leading zero': '{"a":01}',
  'a lone minus': '{"a":-}',
  'a number with two points': '{"a":1.2.3}',
  'an unknown escape in a key': '{"\\q":1}',
  'a raw line break in a key': '{"\n":1}',
  'too many closing brackets': '{"a":[1]]}',
})) {
  test(`refuses ${what}`, () => {
    assert.equal(membersOf(json), undefined);
  });
}

test('an empty object has no members', () => {
  assert.deepEqual(membersOf(' { } '), []);
});

test('text that is not JSON never throws', () => {
  const characters = fc.constantFrom(...Array.from('{}[]",:\\ \n01-+.eEtrufalsn\u00e9'));
  fc.assert(
    fc.property(fc.array(characters, { maxLength: 60 }), (parts) => {
      const json = parts.join('');
      let parsed: unknown;
      try {
        parsed = JSON.parse(json);
      } catch {
        parsed = undefined;
      }
      const isObject = typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed);
      // It may take what a strict parser would not, but never the other way round.
      if (isObject) assert.notEqual(membersOf(json), undefined);
      else membersOf(json);
    }),
    { numRuns: 500 },
  );
});

const MIB = 1024 * 1024;

function filled(before: string, part: string, after: string): Buffer {
  return Buffer.from(before + part.repeat((MIB - 100) / part.length) + after);
}

for (const [what, dense, body] of [
  ['lists', true, filled('{"x":[', '[],', '1]}')],
  ['lists in lists', true, filled('{"x":', '[', '')],
  ['objects', true, filled('{"x":[', '{"a":1},', '1]}')],
  ['strings', true, filled('{"x":[', '"",', '1]}')],
  ['members', true, filled('{', '"a":1,', '"b":1}')],
  ['members of a member', true, filled('{"x":{', '"a":1,', '"b":1}}')],
  ['short messages', false, filled('{"x":[', `{"role":"user","content":"${'x'.repeat(80)}"},`, '1]}')],
  ['token ids', false, filled('{"x":[', '1,', '1]}')],
  ['one long text', false, filled('{"x":"', 'x', '"}')],
  ['quotes in one text', false, filled('{"x":["', '\\"', '"]}')],
  ['brackets in one text', false, filled('{"x":["', '[{', '"]}')],
] as const)
  test(`a mebibyte is ${dense ? '' : 'not '}dense when it is made of ${what}`, () => {
    assert.equal(isDense(body), dense);
  });

test('a key is the one that it spells, with escapes or without, and none that is as long', () => {
  const keys = ['usage', 'model', 'a\\"b'] as const;
  const spelt = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 8 }),
    fc.constantFrom(...keys, 'usagf', 'usag', 'usages', ''),
  );
  const escaped = (key: string, at: number): string => {
    const quoted = JSON.stringify(key);
    const code = key.charCodeAt(0).toString(16).padStart(4, '0');
    return at === 0 && key.length > 0 && !quoted.startsWith('"\\') ? `"\\u${code}${quoted.slice(2)}` : quoted;
  };
  fc.assert(
    fc.property(spelt, fc.nat(2), (key, at) => {
      const json = Buffer.from(`{${escaped(key, at)}:1}`);
      const found = keyAmong(keys, json, 1, json.lastIndexOf('"') + 1);
      assert.equal(found, (keys as readonly string[]).includes(key) ? key : undefined);
    }),
    { numRuns: 2000 },
  );
});
