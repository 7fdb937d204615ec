import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { JsonObject, PromptSink } from './prompt-sink.ts';
import {
  batchPrompt,
  chatPrompt,
  completionPrompt,
  embedPrompt,
  generatePrompt,
  inputPrompt,
  invocationPrompt,
  messagesPrompt,
  pairPrompt,
  responsesPrompt,
  tokenizePrompt,
  type PromptReader,
} from './prompts.ts';

fc.configureGlobal({ seed: 7 });

const READERS = {
  batchPrompt,
  chatPrompt,
  completionPrompt,
  embedPrompt,
  generatePrompt,
  inputPrompt,
  invocationPrompt,
  messagesPrompt,
  pairPrompt,
  responsesPrompt,
  tokenizePrompt,
};

/** What a reader hands over, one line per call. */
function read(reader: PromptReader, body: JsonObject): string[] {
  const lines: string[] = [];
  const sink: PromptSink = {
    role: (name) => lines.push(`<${name}>`),
    text: (value) => lines.push(value),
    utf8: (bytes, start, end) => lines.push(bytes.toString('utf8', start, end)),
    tokens: (ids) => lines.push(`#${Array.from(ids).join(',')}`),
  };
  reader(body, sink);
  return lines;
}

test('a chat is its whole conversation with roles, the tools before it', () => {
  const tools = [{ type: 'function', function: { name: 'now' } }];
  const body = {
    messages: [
      { role: 'system', content: 'Be brief.' },
      {
        role: 'user',
        content: [
          { type: 'text', text: 'What is this?' },
          { type: 'image_url', image_url: { url: 'data:x' } },
        ],
      },
      {
        role: 'assistant',
        content: null,
        tool_calls: [{ id: 'c1', function: { name: 'now', arguments: '{}' } }],
      },
      { role: 'tool', tool_call_id: 'c1', content: 'noon' },
    ],
    tools,
  };
  assert.deepEqual(read(chatPrompt, body), [
    '<tools>',
    JSON.stringify(tools),
    '<system>',
    'Be brief.',
    '<user>',
    'What is this?',
    '{"type":"image_url","image_url":{"url":"data:x"}}',
    '<assistant>',
    '[{"id":"c1","function":{"name":"now","arguments":"{}"}}]',
    '<tool>',
    'noon',
  ]);
});

test('a longer conversation begins with the shorter one', () => {
  const message = fc.record({ role: fc.constantFrom('user', 'assistant', 'system'), content: fc.string() });
  fc.assert(
    fc.property(fc.array(message), message, (messages, next) => {
      const before = read(chatPrompt, { messages });
      assert.deepEqual(read(chatPrompt, { messages: [...messages, next] }).slice(0, before.length), before);
    }),
  );
});

test('ids, sampling and everything else that is not prompt is left out', () => {
  const body = {
    prompt: 'Hello',
    user: 'u1',
    session_id: 's1',
    request_id: 'r1',
    temperature: 0,
    model: 'm',
  };
  assert.deepEqual(read(completionPrompt, body), ['<prompt>', 'Hello']);
});

test('completions take a string, strings, token ids and lists of token ids', () => {
  assert.deepEqual(read(completionPrompt, { prompt: ['a', 'b'] }), ['<prompt>', 'a', '<prompt>', 'b']);
  assert.deepEqual(read(completionPrompt, { prompt: [1, 2, 3] }), ['<prompt>', '#1,2,3']);
  assert.deepEqual(read(completionPrompt, { prompt: [[1], [2, 3]] }), ['<prompt>', '#1', '<prompt>', '#2,3']);
});

test('embeddings take input or messages', () => {
  assert.deepEqual(read(inputPrompt, { input: 'a' }), ['<prompt>', 'a']);
  assert.deepEqual(read(inputPrompt, { messages: [{ role: 'user', content: 'b' }] }), ['<user>', 'b']);
});

test('rerank and score read the query before the documents', () => {
  assert.deepEqual(read(pairPrompt, { documents: ['d1', { text: 'd2' }], query: 'q' }), [
    '<prompt>',
    'q',
    '<prompt>',
    'd1',
    '<prompt>',
    'd2',
  ]);
  assert.deepEqual(read(pairPrompt, { text_2: ['b'], text_1: 'a' }), ['<prompt>', 'a', '<prompt>', 'b']);
});

test('responses: tools, instructions, then a text or items', () => {
  const items = [
    { role: 'user', content: [{ type: 'input_text', text: 'hi' }] },
    { type: 'function_call', name: 'f', arguments: '{"x":1}' },
    { type: 'function_call_output', call_id: 'c', output: 'done' },
  ];
  assert.deepEqual(read(responsesPrompt, { instructions: 'I', input: 'hi' }), [
    '<system>',
    'I',
    '<user>',
    'hi',
  ]);
  assert.deepEqual(read(responsesPrompt, { input: items }), [
    '<user>',
    'hi',
    '<function_call>',
    '{"x":1}',
    '<function_call_output>',
    'done',
  ]);
});

test('anthropic messages: the system text may be a string or parts', () => {
  const messages = [{ role: 'user', content: 'hi' }];
  assert.deepEqual(read(messagesPrompt, { system: 'S', messages }), ['<system>', 'S', '<user>', 'hi']);
  assert.deepEqual(read(messagesPrompt, { system: [{ type: 'text', text: 'S' }], messages }), [
    '<system>',
    'S',
    '<user>',
    'hi',
  ]);
});

test('generate takes text or token ids under either name', () => {
  assert.deepEqual(read(generatePrompt, { text: 'a' }), ['<prompt>', 'a']);
  assert.deepEqual(read(generatePrompt, { input_ids: [1] }), ['<prompt>', '#1']);
  assert.deepEqual(read(generatePrompt, { token_ids: [1, 2] }), ['<prompt>', '#1,2']);
});

test('tokenize takes a prompt or a chat', () => {
  assert.deepEqual(read(tokenizePrompt, { prompt: 'a' }), ['<prompt>', 'a']);
  assert.deepEqual(read(tokenizePrompt, { messages: [{ role: 'user', content: 'b' }] }), ['<user>', 'b']);
});

/** Bodies with the right names and anything at all behind them. */
const FIELDS = [
  'messages',
  'tools',
  'system',
  'prompt',
  'input',
  'instructions',
  'query',
  'documents',
  'text_1',
  'items',
  'text',
  'input_ids',
  'token_ids',
];
const oddMessage = fc.record(
  { role: fc.jsonValue(), content: fc.jsonValue(), tool_calls: fc.jsonValue(), output: fc.jsonValue() },
  { requiredKeys: [] },
);
const oddValue = fc.oneof(fc.jsonValue(), fc.array(fc.oneof(oddMessage, fc.jsonValue())));
const oddBody = fc.dictionary(fc.constantFrom(...FIELDS), oddValue);

test('a batch of chats is one chat after the other, the tools once before them', () => {
  const chat = (text: string): object[] => [{ role: 'user', content: text }];
  const tools = [{ type: 'function' }];
  assert.deepEqual(read(batchPrompt, { tools, messages: [chat('a'), chat('b')] }), [
    '<tools>',
    JSON.stringify(tools),
    '<user>',
    'a',
    '<user>',
    'b',
  ]);
});

test('an invocation is read as the API that its body is for', () => {
  const messages = [{ role: 'user', content: 'hi' }];
  for (const [body, reader] of [
    [{ messages, tools: [{}] }, chatPrompt],
    [{ prompt: 'hi' }, completionPrompt],
    [{ input: ['a', 'b'] }, inputPrompt],
    [{ messages }, inputPrompt],
    [{ query: 'q', documents: ['d'] }, pairPrompt],
    [{ text_1: 'a', text_2: 'b' }, pairPrompt],
  ] as const) {
    assert.ok(read(reader, body).length > 0);
    assert.deepEqual(read(invocationPrompt, body), read(reader, body));
  }
});

test('Cohere’s embeddings take texts or inputs', () => {
  assert.deepEqual(read(embedPrompt, { texts: ['a', 'b'] }), ['<prompt>', 'a', '<prompt>', 'b']);
  assert.ok(
    read(embedPrompt, { inputs: [{ content: [{ type: 'text', text: 'a' }] }] })
      .join('')
      .includes('a'),
  );
});

for (const [name, reader] of Object.entries(READERS)) {
  test(`${name}: a body of the wrong shape is the worker's to refuse, never an exception here`, () => {
    fc.assert(
      fc.property(oddBody, (body) => {
        for (const line of read(reader, body)) assert.equal(typeof line, 'string');
      }),
    );
  });
}
