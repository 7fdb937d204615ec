import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { inOneGo } from '../base/in-pieces.ts';
import { PromptHasher } from '../routing/prompt-hash.ts';
import { LongIds } from './long-ids.ts';
import { LongText } from './long-text.ts';
import { outlining } from './outline.ts';
import { PromptText } from './prompt-text.ts';
import * as prompts from './prompts.ts';
import { isObject } from './prompt-sink.ts';

// Bodies this large take too long to be made smaller.
fc.configureGlobal({ seed: 7, endOnFailure: true });

const outlined = (json: string | Buffer): unknown => inOneGo(outlining(Buffer.from(json as string)));

/** Strings of every kind, from none to some ten thousand bytes. */
const WHOLE = ['a', ' ', 'word ', 'ä', '天', '😀', '"', '\\', '\n', '\t', '\u001f', '\u0000', '/'];
const unit = fc.oneof(
  { arbitrary: fc.constantFrom(...WHOLE), weight: 20 },
  { arbitrary: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 3 }), weight: 5 },
  // Halves of characters, which no text has.
  { arbitrary: fc.constantFrom('\ud83d', '\ude00'), weight: 1 },
);
const long = fc
  .tuple(fc.array(unit, { minLength: 1, maxLength: 8 }), fc.integer({ min: 1, max: 4_000 }))
  .map(([units, times]) => units.join('').repeat(times).slice(0, 40_000));
const ids = fc
  .tuple(fc.array(fc.nat(200_000), { minLength: 1, maxLength: 9 }), fc.integer({ min: 1, max: 700 }))
  .map(([some, times]) => Array.from({ length: times }, () => some).flat());
const small = fc.oneof(
  fc.string(),
  fc.double({ noNaN: true }),
  fc.boolean(),
  fc.constant(null),
  fc.integer(),
);
const key = fc.oneof(fc.constantFrom('text', 'content', 'role', '__proto__', 'toJSON', ''), fc.string());
const { value } = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, depthSize: 'small' },
    { arbitrary: long, weight: 4 },
    { arbitrary: ids, weight: 1 },
    { arbitrary: small, weight: 2 },
    { arbitrary: fc.array(tie('value'), { maxLength: 4 }), weight: 2 },
    {
      arbitrary: fc
        .array(fc.tuple(key, tie('value')), { maxLength: 4 })
        .map((members) => Object.fromEntries(members)),
      weight: 3,
    },
  ),
}));

/** As clients write it: with spaces or without, escaped or as it is. */
const spelling = fc.record({ indent: fc.constantFrom(0, 2), ascii: fc.boolean(), separator: fc.boolean() });

function spell(
  of: unknown,
  { indent, ascii, separator }: { indent: number; ascii: boolean; separator: boolean },
): string {
  const json = JSON.stringify(of, undefined, indent);
  const spaced = separator && indent === 0 ? json.replaceAll(/(\d),(\d)/g, '$1, $2') : json;
  if (!ascii) return spaced;
  return spaced.replaceAll(
    /[\u0080-\uffff]/g,
    (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

describe('outlining', () => {
  it('says what JSON.parse says, or nothing', () => {
    let some = 0;
    fc.assert(
      fc.property(value, spelling, (of, how) => {
        const json = spell(of, how);
        const read = outlined(json);
        if (read === undefined) return;
        some += 1;
        assert.deepEqual(JSON.parse(JSON.stringify({ read })), { read: JSON.parse(json) });
      }),
      { numRuns: 120 },
    );
    assert.ok(some > 20, String(some));
  });

  it('says nothing of what is no JSON, wherever it goes wrong', () => {
    const at = fc.nat(30_000);
    const wrong = fc.constantFrom('\u0001', '"', '\\', '\\x', '\n', ',', ']', '}', '\\u12', '');
    fc.assert(
      fc.property(long, ids, spelling, at, wrong, fc.nat(3), (text, list, how, where, what, cut) => {
        const json = spell({ messages: [{ content: text }], prompt: list, n: 1 }, how);
        const place = where % json.length;
        const broken = Buffer.from(json.slice(0, place) + what + json.slice(place + cut)).toString();
        let expected: unknown;
        try {
          expected = JSON.parse(broken);
        } catch {
          assert.equal(outlined(broken), undefined);
          return;
        }
        const read = outlined(broken);
        if (read !== undefined) assert.deepEqual(JSON.parse(JSON.stringify(read)), expected);
      }),
      { numRuns: 80 },
    );
  });

  it('gives every reader of prompts the same roles, text and tokens as the parsed body does', () => {
    const part = fc.record({ type: fc.constant('text'), text: long });
    const message = fc.record(
      {
        role: fc.oneof(fc.constantFrom('system', 'user'), long),
        content: fc.oneof(long, fc.array(fc.oneof(part, value), { maxLength: 3 })),
        tool_calls: value,
        output: value,
      },
      { requiredKeys: ['content'] },
    );
    const input = fc.oneof(long, ids, fc.array(fc.oneof(long, ids, value), { maxLength: 4 }), value);
    const inputs = [
      'input',
      'prompt',
      'system',
      'instructions',
      'documents',
      'query',
      'texts',
      'token_ids',
      'text',
    ];
    const body = fc.record(
      {
        messages: fc.oneof(
          { arbitrary: fc.array(message, { maxLength: 4 }), weight: 4 },
          { arbitrary: value, weight: 1 },
        ),
        tools: value,
        ...Object.fromEntries(inputs.map((name) => [name, input])),
      },
      { requiredKeys: [] },
    );
    let some = 0;
    fc.assert(
      fc.property(body, spelling, (of, how) => {
        const json = spell(of, how);
        const read = outlined(json);
        const parsed: unknown = JSON.parse(json);
        if (!isObject(read) || !isObject(parsed)) return;
        some += 1;
        for (const reader of Object.values(prompts)) {
          const [one, other] = [new PromptHasher('m'), new PromptHasher('m')];
          reader(read, one);
          reader(parsed, other);
          assert.deepEqual(one.finish({ charsPerToken: 4 }), other.finish({ charsPerToken: 4 }));
          assert.deepEqual([one.fingerprint(), one.textBytes], [other.fingerprint(), other.textBytes]);
          const [text, otherText] = [new PromptText(10_000), new PromptText(10_000)];
          reader(read, text);
          reader(parsed, otherText);
          assert.equal(text.value, otherText.value);
        }
      }),
      { numRuns: 80 },
    );
    assert.ok(some > 12, String(some));
  });

  it('makes no string of a picture in a message', () => {
    const url = `data:image/png;base64,${'iVBORw0KGgo+/='.repeat(10_000)}`;
    const read = outlined(
      JSON.stringify({ messages: [{ role: 'user', content: [{ image_url: { url } }] }] }),
    );
    assert.ok(isObject(read));
    const pieces: [string, number][] = [];
    prompts.chatPrompt(read, {
      role: (name) => pieces.push(['role', name.length]),
      text: (value) => pieces.push(['text', value.length]),
      utf8: (_, start, end) => pieces.push(['utf8', end - start]),
      tokens: () => undefined,
    });
    assert.deepEqual(pieces, [
      ['role', 'user'.length],
      ['text', '{"image_url":{"url":"'.length],
      ['utf8', url.length],
      ['text', '"}}'.length],
    ]);
  });

  it('leaves long strings and lists of ids where they are', () => {
    const list = Array.from({ length: 2_000 }, (_, at) => at);
    const read = outlined(
      JSON.stringify({ model: 'm', a: 'x'.repeat(9_000), b: ['\n'.repeat(9_000)], c: { d: list } }),
    );
    assert.ok(isObject(read) && isObject(read['c']) && Array.isArray(read['b']));
    assert.equal(read['model'], 'm');
    assert.ok(
      read['a'] instanceof LongText && read['b'][0] instanceof LongText && read['c']['d'] instanceof LongIds,
    );
    assert.equal(read['b'][0].toString(), '\n'.repeat(9_000));
    assert.deepEqual([...read['c']['d'].ids], list);
  });

  for (const [what, json] of Object.entries({
    'a text that is not UTF-8': Buffer.from(`{"a":"${'x'.repeat(5_000)}\xff"}`, 'latin1'),
    'a long key': `{"${'k'.repeat(5_000)}" :1}`,
    'a string that could be taken for the place of a long one': `{"a":"\\u00000","b":"${'x'.repeat(5_000)}"}`,
    'what is mostly short': `{"a":[${'"short",'.repeat(1_000)}""],"b":"${'x'.repeat(5_000)}"}`,
  }))
    it(`says nothing of ${what}`, () => {
      assert.equal(outlined(json as string), undefined);
    });

  for (const [what, list] of Object.entries({
    'numbers that begin with a zero': '01',
    'numbers with a point': '1.5',
    'negative numbers': '-1',
    'numbers of more than 31 bits': '4294967296',
    'a comma too many': '1,,2',
    'no comma': '1 2',
    'a comma at the end': '1,',
  }))
    it(`takes no list with ${what} for one of ids`, () => {
      for (const json of [`[${'7,'.repeat(5_000)}${list}]`, `[${list}${',7'.repeat(5_000)}]`]) {
        const read = outlined(`{"prompt":${json},"text":"${'x'.repeat(20_000)}"}`);
        let expected: unknown;
        try {
          expected = JSON.parse(json);
        } catch {
          assert.equal(read, undefined);
          continue;
        }
        assert.ok(isObject(read));
        assert.deepEqual(read['prompt'], expected);
      }
    });

  it('lets everything else have its turn', () => {
    const long = {
      'plain text': 'x'.repeat(1e6),
      escapes: '\n'.repeat(5e5),
      ids: Array.from({ length: 2e5 }, () => 12_345),
    };
    for (const [what, of] of Object.entries(long)) {
      const work = outlining(Buffer.from(JSON.stringify({ prompt: of })));
      let turns = 0;
      while (work.next().done !== true) turns += 1;
      assert.ok(what === 'plain text' || turns >= 3, `${what}: ${turns}`);
    }
  });
});
