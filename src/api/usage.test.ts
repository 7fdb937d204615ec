import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { findUsage } from './usage.ts';

fc.configureGlobal({ seed: 7 });

function usage(prompt: number | undefined, completion: number | undefined, cached: number | undefined) {
  return { promptTokens: prompt, completionTokens: completion, cachedTokens: cached };
}

test('a chat completion with cached tokens', () => {
  const body = JSON.stringify({
    id: 'chatcmpl-1',
    choices: [{ message: { content: 'hi' } }],
    usage: {
      prompt_tokens: 10,
      total_tokens: 12,
      completion_tokens: 2,
      prompt_tokens_details: { cached_tokens: 8 },
    },
  });
  assert.deepEqual(findUsage(body), usage(10, 2, 8));
});

test('without prompt details the cached tokens are not known, which is not zero', () => {
  assert.deepEqual(
    findUsage('{"usage":{"prompt_tokens":1,"completion_tokens":2,"prompt_tokens_details":null}}'),
    usage(1, 2, undefined),
  );
});

test('the last one of a stream counts, and one that is null does not', () => {
  const stream =
    'data: {"usage":{"prompt_tokens":5,"completion_tokens":1}}\n\ndata: {"usage":{"prompt_tokens":5,"completion_tokens":9}}\n\ndata: {"usage":null}\n\ndata: [DONE]\n\n';
  assert.deepEqual(findUsage(stream), usage(5, 9, undefined));
});

test('the names of the responses API', () => {
  const text =
    '{"usage": {"input_tokens": 7, "input_tokens_details": {"cached_tokens": 4}, "output_tokens": 3, "total_tokens": 10}}';
  assert.deepEqual(findUsage(text), usage(7, 3, 4));
});

test('the names of the messages API, with spaces and line breaks', () => {
  const text = '{"usage" :\n {"input_tokens": 7, "cache_read_input_tokens": 6, "output_tokens": 3}}';
  assert.deepEqual(findUsage(text), usage(7, 3, 6));
});

test('an embedding has prompt tokens only', () => {
  assert.deepEqual(
    findUsage('{"usage":{"prompt_tokens":3,"total_tokens":3}}'),
    usage(3, undefined, undefined),
  );
});

for (const [what, text] of Object.entries({
  'no usage': '{"choices":[]}',
  'a usage that is cut off': '{"usage":{"prompt_tokens":1',
  'a usage without known fields': '{"usage":{"seconds":3}}',
  'a usage that is a list': '{"usage":[1,2]}',
  'a text about usage': JSON.stringify({ content: 'set "usage": {"prompt_tokens": 1} in the body' }),
  'negative counts': '{"usage":{"prompt_tokens":-1}}',
  'counts that are texts': '{"usage":{"prompt_tokens":"7"}}',
  'the word alone at the start': '"usage"',
})) {
  test(`finds nothing in ${what}`, () => {
    assert.equal(findUsage(text), undefined);
  });
}

test('model output cannot pass for usage, and what follows it is still found', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.boolean(), (noise, pretty) => {
      const content = `${noise}"usage":{"prompt_tokens":999}${noise}`;
      const body = { content, usage: { prompt_tokens: 4, completion_tokens: 2 }, after: content };
      assert.deepEqual(
        findUsage(JSON.stringify(body, undefined, pretty ? 2 : undefined)),
        usage(4, 2, undefined),
      );
    }),
  );
});
