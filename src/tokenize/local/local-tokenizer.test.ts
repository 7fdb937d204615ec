import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { gunzipSync } from 'node:zlib';
import * as fc from 'fast-check';
import { SegmentedEncoder } from './segmented-encoder.ts';
import { CHAT_FEATURES } from './local-chat.ts';
import { LocalTokenizer } from './local-tokenizer.ts';
import type { TextJob, TextResult } from './text-messages.ts';
import { readTokenizerFiles } from './tokenizer-files.ts';

const FOLDER = new URL('../../../test/data/tokenizers/', import.meta.url);

interface Case {
  readonly request: Readonly<Record<string, unknown>>;
  /** Null: vLLM refuses it. */
  readonly ids: readonly number[] | null;
}

interface Golden {
  readonly format: TextJob['format'];
  readonly chats: readonly Case[];
  readonly prompts: readonly Case[];
}

// What vLLM's own functions gave for these: see make_golden.py.
const GOLDEN = JSON.parse(
  gunzipSync(readFileSync(new URL('golden.json.gz', FOLDER))).toString('utf8'),
) as Readonly<Record<string, Golden>>;

function folderOf(name: string): string {
  return new URL(name, FOLDER).pathname;
}

function tokens(
  tokenizer: LocalTokenizer,
  job: Omit<TextJob, 'identity' | 'members'>,
  request: object,
): TextResult {
  const members = Buffer.from(JSON.stringify(request));
  return tokenizer.tokensOf({ identity: tokenizer.identity, members, ...job });
}

function idsOf(result: TextResult): readonly number[] | null {
  return result.kind === 'ids' ? [...result.ids] : null;
}

for (const [name, { format, chats, prompts }] of Object.entries(GOLDEN))
  describe(`the tokenizer and the template of ${name}`, () => {
    const tokenizer = LocalTokenizer.read(folderOf(name));

    it(`make of ${chats.length} chats what vLLM makes of them, the same with what is kept of earlier ones`, () => {
      let compared = 0;
      for (const round of [1, 2])
        for (const { request, ids } of chats) {
          const result = tokens(tokenizer, { route: 'chat', format, features: CHAT_FEATURES }, request);
          // What vLLM refuses is the worker's to refuse.
          if (ids === null) continue;
          assert.deepEqual(
            idsOf(result),
            ids,
            `${round}: ${JSON.stringify(request)} ${JSON.stringify(result)}`,
          );
          compared += 1;
        }
      assert.ok(compared >= 40, `${compared} compared`);
    });

    it('make of prompts what vLLM makes of them', () => {
      for (const { request, ids } of prompts)
        assert.deepEqual(
          idsOf(tokens(tokenizer, { route: 'completion', format, features: [] }, request)),
          ids,
          JSON.stringify(request),
        );
    });

    it('give for a text in segments what they give for it as a whole, whatever stands in it', () => {
      const { tokenizer: json, config, templates } = readTokenizerFiles(folderOf(name));
      const encoder = new SegmentedEncoder(json, config, Object.values(templates));
      const piece = fc.oneof(
        fc.constantFrom(
          '<|im_end|>',
          '<|im_start|>',
          '<s>',
          '</s>',
          '<|im_',
          'end|>',
          '<',
          '|>',
          '\n',
          ' ',
          '  ',
        ),
        fc.string({ unit: 'grapheme' }),
        fc.lorem(),
      );
      fc.assert(
        fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
          const text = pieces.join('');
          fc.pre(text.isWellFormed());
          for (const again of [text, `${text}<|im_end|>\nmore`, text])
            assert.deepEqual(
              [...encoder.encode(again, { addSpecialTokens: false })],
              [...encoder.encodeWhole(again, false)],
            );
        }),
        { numRuns: 300 },
      );
    });
  });

describe('a local tokenizer', () => {
  const tokenizer = LocalTokenizer.read(folderOf('chatml'));
  const USER = { role: 'user', content: 'Hello' };
  const chat = (request: object, features: TextJob['features'] = CHAT_FEATURES): TextResult =>
    tokens(tokenizer, { route: 'chat', format: 'string', features }, request);

  for (const [what, request, reason] of [
    ['a number that Python writes otherwise', '{"messages":[],"tools":[{"minimum":1.0}]}', /number/],
    ['a large integer', '{"messages":[],"tools":[{"minimum":12345678901234567890}]}', /number/],
    ['an exponent', '{"messages":[],"tools":[{"minimum":1e-7}]}', /number/],
    ['a key that would stand elsewhere', '{"messages":[],"tools":[{"b":1,"1":2}]}', /key/],
    ['such a number in the arguments of a call', CALL_WITH('{\\"x\\":1.0}'), /number/],
    ['a call with members that nobody knows', CALL_WITH('{}', ',"extra":1'), /call/],
    ['half a character', '{"messages":[{"role":"user","content":"\\ud83d"}]}', /half/],
    ['an image', '{"messages":[{"role":"user","content":[{"type":"image_url"}]}]}', /part/],
    ['tokens around a chat', '{"messages":[],"add_special_tokens":true}', /special/],
    ['two ways to go on', '{"messages":[],"continue_final_message":true}', /both/],
    ['what is no list', '{"messages":{}}', /list/],
  ] as const)
    it(`leaves ${what} to the worker`, () => {
      const members = Buffer.from(request);
      const { identity } = tokenizer;
      const result = tokenizer.tokensOf({
        ...{ identity, members, route: 'chat', format: 'string', features: CHAT_FEATURES },
      });
      assert.equal(result.kind, 'unsure', JSON.stringify(result));
      assert.match(result.reason, reason);
    });

  it('does chats with the features alone that it is allowed', () => {
    const tools = [{ type: 'function', function: { name: 'f' } }];
    assert.equal(chat({ messages: [USER], tools }).kind, 'ids');
    assert.equal(chat({ messages: [USER], tools }, ['parts']).kind, 'unsure');
    assert.equal(chat({ messages: [USER] }, []).kind, 'ids');
  });

  it('says what a template says that refuses', () => {
    const strict = LocalTokenizer.read(folderOf('inst'));
    const messages = [USER, USER];
    const result = tokens(strict, { route: 'chat', format: 'string', features: [] }, { messages });
    assert.equal(result.kind, 'failed');
    assert.match(result.reason, /Roles must alternate/);
  });

  it('uses the template of a request where there is one, and does not trust the clock', () => {
    const own = chat({ messages: [USER], chat_template: '{{ messages[0].content }}' });
    const plain = tokens(
      tokenizer,
      { route: 'completion', format: 'string', features: [] },
      { prompt: 'Hello', add_special_tokens: false },
    );
    assert.deepEqual(idsOf(own), idsOf(plain));
    const clock = chat({ messages: [USER], chat_template: "{{ strftime_now('%Y') }}" });
    assert.deepEqual(
      [clock.kind, clock.kind === 'unsure' && clock.reason],
      ['unsure', 'a template that reads the clock'],
    );
  });

  it('is read from its folder or its file, and has another identity with another template', () => {
    const file = LocalTokenizer.read(`${folderOf('chatml')}/tokenizer.json`);
    assert.equal(file.identity, tokenizer.identity);
    assert.notEqual(LocalTokenizer.read(folderOf('parts')).identity, tokenizer.identity);
    assert.deepEqual(tokenizer.specials, ['<|im_start|>', '<|im_end|>']);
  });

  it('that is none says what is wrong', () => {
    assert.throws(() => LocalTokenizer.read(folderOf('')), /there is no tokenizer\.json/);
    assert.throws(() => LocalTokenizer.read(folderOf('make_golden.py')), /is no JSON/);
    assert.throws(() => LocalTokenizer.read(folderOf('nowhere')), /ENOENT/);
  });
});

function CALL_WITH(args: string, more = ''): string {
  const made = `{"name":"f","arguments":"${args}"${more}}`;
  return `{"messages":[{"role":"assistant","tool_calls":[{"type":"function","function":${made}}]}]}`;
}
