import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errorEventOf, errorJson } from './errors.ts';
import { countJson, messageJson } from './response.ts';

const FACTS = { requestId: 'r', model: 'asked' };

function answer(choice: object, usage?: object): string {
  return JSON.stringify({ id: 'chatcmpl-1', model: 'm', choices: [choice], usage });
}

interface Message {
  readonly id: string;
  readonly model: string;
  readonly content: readonly { readonly thinking?: string }[];
  readonly stop_reason: string;
  readonly stop_sequence: string | null;
  readonly usage: object;
}

function message(choice: object, usage?: object): Message {
  return JSON.parse(messageJson(answer(choice, usage), FACTS) ?? 'null');
}

test('a text that is told in parts is one text', () => {
  const parts = [{ type: 'text', text: 'a' }, { type: 'text', text: 'b' }, 7];
  const { content } = message({ finish_reason: 'stop', message: { content: parts } });
  assert.deepEqual(content, [{ type: 'text', text: 'ab' }]);
});

test('thoughts, text and tools are blocks, in this order', () => {
  const { id, model, content, stop_reason } = message({
    finish_reason: 'tool_calls',
    message: {
      content: 'a',
      reasoning: 'hm',
      tool_calls: [{ id: 't', type: 'function', function: { name: 'f', arguments: '{"x":1}' } }],
    },
  });
  assert.deepEqual([id, model, stop_reason], ['msg_1', 'm', 'tool_use']);
  assert.deepEqual(content, [
    { type: 'thinking', thinking: 'hm', signature: 'msg_1' },
    { type: 'text', text: 'a' },
    { type: 'tool_use', id: 't', name: 'f', input: { x: 1 } },
  ]);
});

test('reasoning has two names', () => {
  const { content } = message({ message: { content: null, reasoning_content: 'hm' } });
  assert.equal(content[0]?.thinking, 'hm');
});

test('numbers in the input of a tool keep their digits', () => {
  const call = { id: 't', function: { name: 'f', arguments: '{"id":12345678901234567890}' } };
  const json = messageJson(answer({ message: { tool_calls: [call] } }), FACTS);
  assert.match(json ?? '', /"input":\{"id":12345678901234567890\}/);
});

test('an answer without anything is one empty text', () => {
  assert.deepEqual(message({ message: {} }).content, [{ type: 'text', text: '' }]);
});

test('why it ended', () => {
  const call = { id: 't', function: { name: 'f', arguments: '{}' } };
  const cut = { id: 't', function: { name: 'f', arguments: '{"a' } };
  const rows: readonly (readonly [choice: object, reason: string, sequence: string | null])[] = [
    [{ finish_reason: 'stop' }, 'end_turn', null],
    [{ finish_reason: null }, 'end_turn', null],
    [{ finish_reason: 'content_filter' }, 'end_turn', null],
    [{ finish_reason: 'length', stop_reason: 'x' }, 'max_tokens', null],
    [{ finish_reason: 'stop', stop_reason: 'END' }, 'stop_sequence', 'END'],
    [{ finish_reason: 'stop', stop_reason: 151643 }, 'end_turn', null],
    [{ finish_reason: 'abort' }, 'abort', null],
    // A tool that was named is used although the answer ends like any other.
    [{ finish_reason: 'stop', message: { tool_calls: [call] } }, 'tool_use', null],
    // One that a stop string has cut off must not be run.
    [{ finish_reason: 'stop', stop_reason: 'b', message: { tool_calls: [cut] } }, 'stop_sequence', 'b'],
  ];
  for (const [choice, reason, sequence] of rows) {
    const { stop_reason, stop_sequence } = message({ message: { content: 'a' }, ...choice });
    assert.deepEqual([stop_reason, stop_sequence], [reason, sequence], JSON.stringify(choice));
  }
});

test('what was read from the cache is no input', () => {
  const usage = { prompt_tokens: 10, completion_tokens: 2, prompt_tokens_details: { cached_tokens: 8 } };
  assert.deepEqual(message({ message: {} }, usage).usage, {
    ...{ input_tokens: 2, output_tokens: 2, cache_read_input_tokens: 8 },
  });
  assert.deepEqual(message({ message: {} }).usage, { input_tokens: 0, output_tokens: 0 });
});

test('what is no answer of a chat is none', () => {
  for (const body of ['', '{', '[]', '{}', '{"choices":[]}', '{"choices":[{"text":"a"}]}', '{"error":{}}'])
    assert.equal(messageJson(body, FACTS), undefined, body);
  for (const body of ['', '{}', '{"count":-1}', '{"count":"3"}'])
    assert.equal(countJson(body), undefined, body);
  assert.equal(countJson('{"count":3,"tokens":[1,2,3]}'), '{"input_tokens":3}');
});

test('errors have Anthropic’s shape, whatever they looked like', () => {
  const rows: readonly (readonly [status: number, body: string, type: string, message: string])[] = [
    [400, '{"error":{"message":"no","type":"BadRequestError","code":400}}', 'invalid_request_error', 'no'],
    [404, '{"object":"error","message":"no","code":404}', 'not_found_error', 'no'],
    [422, '{"detail":[{"msg":"x"}]}', 'invalid_request_error', '[{"msg":"x"}]'],
    [401, '{"error":"Unauthorized"}', 'authentication_error', 'Unauthorized'],
    [429, 'slow down', 'rate_limit_error', 'slow down'],
    [413, '', 'request_too_large', 'the worker answered with status 413'],
    [500, '{}', 'api_error', 'the worker answered with status 500'],
    [503, 'busy', 'overloaded_error', 'busy'],
    [504, 'late', 'timeout_error', 'late'],
  ];
  for (const [status, body, type, message] of rows)
    assert.deepEqual(JSON.parse(errorJson(status, body)), { type: 'error', error: { type, message } });
  assert.equal(
    errorEventOf({ error: { message: 'no', code: 400 } }),
    'event: error\ndata: {"type":"error","error":{"type":"invalid_request_error","message":"no"}}\n\n',
  );
});
