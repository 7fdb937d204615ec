import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { hasDuplicateField, injectIncludeUsage, replaceMember } from './json-edit.ts';
import { findMembers } from './json-scan.ts';

fc.configureGlobal({ seed: 7 });

const space = fc.constantFrom('', '', ' ', '\n', '\t', '\r\n  ');
/** Ways to write the key `model`. */
const modelKey = fc.constantFrom('"model"', '"mod\\u0065l"', '"\\u006d\\u006F\\u0064\\u0065\\u006c"');
const otherKey = fc
  .oneof(fc.string({ unit: 'binary', maxLength: 12 }), fc.constantFrom('models', 'Model', 'mode', 'model '))
  .filter((key) => key !== 'model')
  .map((key) => JSON.stringify(key));
/** Values that a parser would not give back as they were, and such that hold look-alikes of the member. */
const awkward = fc.constantFrom(
  '12345678901234567890123',
  '1e5',
  '-0.10',
  '{"model":"inner","model":"inner"}',
  '"\\"model\\":\\"x\\""',
  '[{"model":"x"}]',
  '"\\ud800"',
);
const value = fc.oneof(
  fc.jsonValue().map((one) => JSON.stringify(one)),
  awkward,
);
const modelValue = fc.oneof(
  fc.string({ unit: 'binary' }).map((one) => JSON.stringify(one)),
  awkward,
  fc.constant('null'),
);

interface Piece {
  readonly text: Buffer;
  readonly isModel: boolean;
}

/** An object in pieces, those that hold a value of `model` marked. Some other values hold bytes that are no UTF-8. */
const objects = fc
  .record({
    bom: fc.boolean(),
    members: fc.array(
      fc.oneof(
        fc.record({ key: modelKey, value: modelValue, isModel: fc.constant(true) }),
        fc.record({ key: otherKey, value, isModel: fc.constant(false) }),
        fc.record({ key: otherKey, value: fc.constant('"\xff\xe2"'), isModel: fc.constant(false) }),
      ),
      { maxLength: 8 },
    ),
    spaces: fc.array(space, { minLength: 1, maxLength: 7 }),
  })
  .map(({ bom, members, spaces }) => {
    let turn = 0;
    const gap = (): string => spaces[turn++ % spaces.length] ?? '';
    const pieces: Piece[] = [];
    const add = (text: string, isModel = false, latin = false): void => {
      pieces.push({ text: Buffer.from(text, latin ? 'latin1' : 'utf8'), isModel });
    };
    add(`${bom ? '\ufeff' : ''}${gap()}{${gap()}`);
    members.forEach((member, index) => {
      add(`${index > 0 ? `,${gap()}` : ''}${member.key}${gap()}:${gap()}`);
      add(member.value, member.isModel, member.value === '"\xff\xe2"');
      add(gap());
    });
    add(`}${gap()}`);
    return pieces;
  });

function bytesOf(pieces: readonly Piece[]): Buffer {
  return Buffer.concat(pieces.map(({ text }) => text));
}

test('every value of `model` is replaced, and every byte outside of these stays', () => {
  fc.assert(
    fc.property(objects, fc.string({ unit: 'binary' }), (pieces, name) => {
      const wanted = pieces.some(({ isModel }) => isModel)
        ? bytesOf(
            pieces.map((piece) =>
              piece.isModel ? { ...piece, text: Buffer.from(JSON.stringify(name)) } : piece,
            ),
          )
        : undefined;
      assert.deepEqual(replaceMember(bytesOf(pieces), 'model', name), wanted);
    }),
    { numRuns: 1000 },
  );
});

test('a body with more members than any API has, and one of some megabytes, are changed likewise', () => {
  const many = `{${Array.from({ length: 20_000 }, (_, index) => `"k${index}":0`).join(',')},"model":"a"}`;
  assert.equal(
    replaceMember(Buffer.from(many), 'model', 'b')?.toString(),
    many.replace('"model":"a"', '"model":"b"'),
  );
  const large = `{"prompt":"${'x"'.replace('"', '\\"').repeat(1_500_000)}","model":"a","n":12345678901234567890}`;
  assert.equal(
    replaceMember(Buffer.from(large), 'model', 'b')?.toString(),
    large.replace('"model":"a"', '"model":"b"'),
  );
});

test('what is no JSON object is not changed', () => {
  for (const text of ['', '[]', '"model"', '{"model":"a"', '{"model":"a"}x', 'null', '{"model"}']) {
    assert.equal(replaceMember(Buffer.from(text), 'model', 'b'), undefined, text);
  }
});

test('a field that stands there twice is found, however it is spelt', () => {
  fc.assert(
    fc.property(objects, (pieces) => {
      const twice = pieces.filter(({ isModel }) => isModel).length > 1;
      assert.equal(hasDuplicateField(bytesOf(pieces)), twice);
    }),
    { numRuns: 500 },
  );
});

test('the same word at other places is no second field', () => {
  for (const [text, twice] of [
    ['{"model":"model","tools":[{"model":"x"}],"models":1}', false],
    ['{"stream":true,"model":"a","str\\u0065am":false}', true],
    ['{"stream":true,"model":"a","x":"\\u0061"}', false],
    ['{"stream":true,"stream":true}', true],
    ['\ufeff{"model":"a","model":"a"}', true],
    ['{"temperature":1,"temperature":2,"model":"a"}', false],
    ['{"model":"a","MODEL":"b"}', false],
  ] as const) {
    assert.equal(hasDuplicateField(Buffer.from(text)), twice, text);
  }
});

test('only the members that were asked for are found, and an object that is broken behind them is none', () => {
  const json = Buffer.from('{"a":1,"model":"x","b":{"model":2},"\\u0061":[3]}');
  assert.deepEqual(
    findMembers(json, ['a', 'model'])?.map(({ key, start, end }) => [key, json.toString('utf8', start, end)]),
    [
      ['a', '1'],
      ['model', '"x"'],
      ['a', '[3]'],
    ],
  );
  assert.equal(findMembers(Buffer.from('{"a":1,"b":}'), ['a']), undefined);
});

/** What a parser reads of `stream_options`: of several the last. */
function optionsOf(body: Buffer): unknown {
  const value = JSON.parse(body.toString('utf8').replace(/^\ufeff/, '')) as { stream_options?: unknown };
  return value.stream_options;
}

test('usage is asked for without another change', () => {
  for (const [before, after] of [
    ['{}', '{"stream_options":{"include_usage":true}}'],
    ['\ufeff { "a":1}', '\ufeff {"stream_options":{"include_usage":true}, "a":1}'],
    ['{"stream_options":null,"a":1}', '{"stream_options":{"include_usage":true},"a":1}'],
    ['{"stream_options":{ }}', '{"stream_options":{"include_usage":true }}'],
    ['{"stream_options":{"x":1}}', '{"stream_options":{"include_usage":true,"x":1}}'],
    ['{"stream_options":{"include_usage":false}}', '{"stream_options":{"include_usage":true}}'],
    ['{"stream_options":{"include_us\\u0061ge":null}}', '{"stream_options":{"include_us\\u0061ge":true}}'],
  ] as const) {
    assert.equal(injectIncludeUsage(Buffer.from(before))?.toString(), after, before);
  }
});

test('a body that asks for usage itself, or has no place for it, stays', () => {
  for (const text of [
    '{"stream_options":{"include_usage":true}}',
    '{"stream_options":{"include_usage":1}}',
    '{"stream_options":[]}',
    '{"stream_options":"x"}',
    '[]',
    '{"a":1',
  ]) {
    assert.equal(injectIncludeUsage(Buffer.from(text)), undefined, text);
  }
});

test('in any object, usage is asked for afterwards and everything else is as it was', () => {
  const options = fc.constantFrom(
    'null',
    '{}',
    '{ "include_usage" : false }',
    '{"continuous_usage_stats":true}',
    '{"include_usage":true,"include_usage":null}',
  );
  const members = fc.array(
    fc.oneof(
      fc.tuple(
        otherKey.filter((key) => !key.includes('stream_options') && key !== '"__proto__"'),
        value,
      ),
      fc.tuple(fc.constant('"stream_options"'), options),
    ),
    { maxLength: 5 },
  );
  fc.assert(
    fc.property(members, space, (pairs, gap) => {
      const text = `{${gap}${pairs.map(([key, one]) => `${key}:${gap}${one}`).join(`${gap},`)}${gap}}`;
      const before = Buffer.from(text);
      const after = injectIncludeUsage(before);
      if (!after) {
        assert.equal((optionsOf(before) as { include_usage?: unknown }).include_usage, true);
        return;
      }
      const known = optionsOf(before);
      const kept = typeof known === 'object' ? known : {};
      assert.deepEqual(JSON.parse(after.toString()), {
        ...(JSON.parse(text) as object),
        stream_options: { ...kept, include_usage: true },
      });
      // One change at one place: what is before and behind it is the same.
      let head = 0;
      while (head < before.length && before[head] === after[head]) head += 1;
      let tail = 0;
      while (tail < before.length - head && before.at(-1 - tail) === after.at(-1 - tail)) tail += 1;
      const replaced = before.toString('utf8', head, before.length - tail);
      assert.ok(replaced.length <= 'false'.length, replaced);
    }),
    { numRuns: 500 },
  );
});
