import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readUsage } from './usage.ts';

function usage(prompt: number | undefined, completion: number | undefined, cached: number | undefined) {
  return { promptTokens: prompt, completionTokens: completion, cachedTokens: cached };
}

function read(text: string) {
  return readUsage(text, undefined);
}

test('a chat completion with cached tokens, as vLLM 0.32 writes it', () => {
  const text =
    '{"prompt_tokens":10,"total_tokens":12,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":8,"created_cache_tokens":0,"multimodal_tokens":null},"completion_tokens_details":null}';
  assert.deepEqual(read(text), usage(10, 2, 8));
});

test('without prompt details the cached tokens are not known, which is not zero', () => {
  assert.deepEqual(
    read('{"prompt_tokens":1,"completion_tokens":2,"prompt_tokens_details":null}'),
    usage(1, 2, undefined),
  );
});

test('the names of the responses API: the cached tokens are part of the input', () => {
  const text =
    '{"input_tokens": 7, "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0}, "output_tokens": 3, "total_tokens": 10}';
  assert.deepEqual(read(text), usage(7, 3, 4));
  assert.deepEqual(readUsage(undefined, text), usage(7, 3, 4), 'inside of the last event');
});

test('the messages API leaves cached and created tokens out of the input: the prompt is the sum of the three', () => {
  const text =
    '{"input_tokens": 130, "cache_read_input_tokens": 1200, "cache_creation_input_tokens": 80, "output_tokens": 3}';
  assert.deepEqual(read(text), usage(1410, 3, 1200));
  assert.deepEqual(
    read('{"input_tokens":13,"output_tokens":6,"cache_creation_input_tokens":null}'),
    usage(13, 6, undefined),
  );
});

test('the last event of a message completes what the first one said, and goes before it', () => {
  const first = '{"input_tokens":9,"cache_read_input_tokens":8,"output_tokens":1}';
  assert.deepEqual(readUsage('{"output_tokens":40}', first), usage(17, 40, 8));
  assert.deepEqual(readUsage('{"input_tokens":null,"output_tokens":40}', first), usage(17, 40, 8));
  assert.deepEqual(
    readUsage('{"input_tokens":5,"cache_read_input_tokens":12,"output_tokens":40}', first),
    usage(17, 40, 12),
  );
  assert.deepEqual(readUsage(undefined, first), usage(17, undefined, 8), 'how long it will be is not known');
});

test('an embedding has prompt tokens only, and older rerankers tell the total alone', () => {
  assert.deepEqual(read('{"prompt_tokens":3,"total_tokens":3}'), usage(3, undefined, undefined));
  assert.deepEqual(read('{"total_tokens":3}'), usage(3, undefined, undefined));
});

for (const [what, text] of Object.entries({
  'more cached than there is': '"prompt_tokens":130,"prompt_tokens_details":{"cached_tokens":1280}',
  'more cached and created than there is':
    '"prompt_tokens":130,"prompt_tokens_details":{"cached_tokens":100,"created_cache_tokens":31}',
  'more cached and written than there is':
    '"input_tokens":130,"input_tokens_details":{"cached_tokens":100,"cache_write_tokens":31}',
  'a negative prompt': '"prompt_tokens":-1',
  'a negative cache': '"prompt_tokens":10,"prompt_tokens_details":{"cached_tokens":-1}',
  'half a token': '"prompt_tokens":10.5',
  'half a cached token': '"input_tokens":10,"cache_read_input_tokens":0.5',
  'a text': '"prompt_tokens":"7"',
  'more than numbers hold': '"prompt_tokens":1e300',
  'more than the total': '"prompt_tokens":100,"total_tokens":40',
})) {
  test(`a prompt that contradicts itself is not known, the answer is: ${what}`, () => {
    assert.deepEqual(read(`{${text},"completion_tokens":2}`), usage(undefined, 2, undefined));
  });
}

for (const [what, text] of Object.entries({
  'known fields': '{"seconds":3}',
  'valid JSON': '{"prompt_tokens":NaN}',
  'a true count': '{"prompt_tokens":-1,"completion_tokens":"x"}',
})) {
  test(`nothing is read from a usage without ${what}`, () => {
    assert.equal(read(text), undefined);
  });
}
