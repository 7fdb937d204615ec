import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { appendMembers, editMembers, editingMembers, type MemberEdit } from './member-edit.ts';

fc.configureGlobal({ seed: 7 });

/** Ways to write each key that is meant. */
const SPELLINGS: Readonly<Record<'one' | 'gone' | 'same', readonly string[]>> = {
  one: ['"one"', '"\\u006fne"', '"o\\u006Ee"'],
  gone: ['"gone"', '"\\u0067one"'],
  same: ['"same"', '"sam\\u0065"'],
};
const EDITS: readonly MemberEdit[] = [
  { key: 'one', there: () => Buffer.from('1') },
  { key: 'gone', there: () => 'gone' },
  { key: 'same', there: () => undefined },
];
const MORE = [['more', '{"a":12345678901234567890}']] as const;

const space = fc.constantFrom('', '', ' ', '\n', '\t', '\r\n  ');
/** Values that a parser would not give back as they were, and such that hold look-alikes of the members. */
const value = fc.oneof(
  fc.jsonValue().map((one) => JSON.stringify(one)),
  fc.constantFrom(
    ...['12345678901234567890123', '1e5', '-0.10', 'NaN', '"\\ud800"', '"\xff\xe2"'],
    ...['{"one":2,"gone":[]}', '"\\"gone\\":1,"', '[{"gone":1}]', '{ }', '[ ]'],
  ),
);
const otherKey = fc
  .string({ maxLength: 8 })
  .filter((key) => !['one', 'gone', 'same', 'more'].includes(key))
  .map((key) => JSON.stringify(key));

interface Member {
  readonly key: string;
  readonly value: string;
  readonly means: 'one' | 'gone' | 'same' | 'other';
}

const member: fc.Arbitrary<Member> = fc.oneof(
  ...(['one', 'gone', 'same'] as const).map((means) =>
    fc.record({ key: fc.constantFrom(...SPELLINGS[means]), value, means: fc.constant(means) }),
  ),
  fc.record({ key: otherKey, value, means: fc.constant('other' as const) }),
);

const objects = fc
  .record({
    bom: fc.constantFrom('', '\xef\xbb\xbf'),
    members: fc.array(member, { maxLength: 8 }),
    spaces: fc.array(space, { minLength: 1, maxLength: 7 }),
  })
  .map(({ bom, members, spaces }) => {
    let turn = 0;
    const gap = (): string => spaces[turn++ % spaces.length] ?? '';
    const texts = members.map((one) => ({ ...one, text: `${one.key}${gap()}:${gap()}${one.value}` }));
    const written = texts.map(({ text }) => text + gap());
    const json = `${bom}${gap()}{${gap()}${written.join(`,${gap()}`)}}${gap()}`;
    return { json: Buffer.from(json, 'latin1'), texts };
  });

/** The object's members as they are written, without the space around them. */
function membersOf(json: Buffer): string[] {
  const text = json.toString('latin1');
  const inner = text.slice(text.indexOf('{') + 1, text.lastIndexOf('}'));
  const found: string[] = [];
  let from = 0;
  let depth = 0;
  let inString = false;
  for (let at = 0; at <= inner.length; at += 1) {
    const char = inner[at];
    if (inString) {
      if (char === '\\') at += 1;
      else if (char === '"') inString = false;
    } else if (char === '"') inString = true;
    else if (char === '{' || char === '[') depth += 1;
    else if (char === '}' || char === ']') depth -= 1;
    else if ((char === ',' && depth === 0) || char === undefined) {
      const one = inner.slice(from, at).trim();
      if (one !== '') found.push(one);
      from = at + 1;
    }
  }
  return found;
}

test('members are changed, taken out and added, and every other byte stays', () => {
  fc.assert(
    fc.property(objects, fc.boolean(), ({ json, texts }, adds) => {
      const edited = editMembers(json, EDITS, adds ? MORE : []);
      assert.ok(edited);
      const kept = texts
        .filter(({ means }) => means !== 'gone')
        .map(({ means, text, value: was }) =>
          means === 'one' ? text.slice(0, text.length - was.length) + '1' : text,
        );
      assert.deepEqual(
        membersOf(edited),
        adds ? [...kept, '"more":{"a":12345678901234567890}'] : kept,
        json.toString('latin1'),
      );
      // What stands around the members stays as well.
      const [before, after] = [json.toString('latin1'), edited.toString('latin1')];
      assert.equal(after.slice(0, after.indexOf('{')), before.slice(0, before.indexOf('{')));
      assert.equal(after.slice(after.lastIndexOf('}')), before.slice(before.lastIndexOf('}')));
    }),
    { numRuns: 2000 },
  );
});

test('without anything to change it is the very object', () => {
  const json = Buffer.from('{"same":1,"other":[1, 2]}');
  assert.equal(editMembers(json, EDITS), json);
});

test('what is taken out goes with one comma, wherever it stands', () => {
  const cases: readonly (readonly [before: string, after: string])[] = [
    ['{"gone":1}', '{}'],
    ['{ "gone" : 1 }', '{  }'],
    ['{"gone":1,"gone":2}', '{}'],
    ['{"gone":1, "a":2}', '{"a":2}'],
    ['{"a":2, "gone":1}', '{"a":2}'],
    ['{"a":2, "gone":1, "gone":1}', '{"a":2}'],
    ['{"a":2, "gone":1, "gone":1, "b":3, "gone":4}', '{"a":2, "b":3}'],
    ['{"one":2,"gone":1}', '{"one":1}'],
    ['{"gone":1,"one":2}', '{"one":1}'],
  ];
  for (const [before, after] of cases)
    assert.equal(editMembers(Buffer.from(before), EDITS)?.toString(), after);
});

test('a member that is nowhere is added, one that is there in any spelling is not', () => {
  const edits: readonly MemberEdit[] = [{ key: 'one', there: () => undefined, absent: '7' }];
  assert.equal(editMembers(Buffer.from('{}'), edits)?.toString(), '{"one":7}');
  assert.equal(editMembers(Buffer.from('{"a":1}'), edits)?.toString(), '{"a":1,"one":7}');
  assert.equal(editMembers(Buffer.from('{"o\\u006ee":1}'), edits)?.toString(), '{"o\\u006ee":1}');
});

test('what is no object is not touched', () => {
  for (const json of ['', '[]', '{"a":1', '{"a":1}}', '{"a":1,}', '{"one":tru}', 'null', '\xef\xbb\xbf'])
    assert.equal(editMembers(Buffer.from(json, 'latin1'), EDITS, MORE), undefined, json);
  for (const json of ['', '[]', 'null', '{"a":1', ' '])
    assert.equal(appendMembers(Buffer.from(json), MORE), undefined);
});

test('bytes that are added are added as they are', () => {
  const bytes = Buffer.from('{"x":"\xff"}', 'latin1');
  assert.equal(
    appendMembers(Buffer.from(' {"a":1 } \n'), [['k', bytes]])?.toString('latin1'),
    ' {"a":1,"k":{"x":"\xff"} } \n',
  );
});

test('a long object is read in pieces', () => {
  const json = Buffer.from(`{"text":"${'x'.repeat(3_000_000)}","one":5}`);
  const work = editingMembers(json, EDITS, MORE);
  let pieces = 0;
  let step = work.next();
  for (; step.done !== true; step = work.next()) pieces += 1;
  assert.ok(pieces >= 5, `${pieces} pieces`);
  const edited = step.value;
  assert.equal(edited?.subarray(-45).toString().endsWith('"one":1,"more":{"a":12345678901234567890}}'), true);
  assert.equal(edited.length, json.length + ',"more":{"a":12345678901234567890}'.length);
});
