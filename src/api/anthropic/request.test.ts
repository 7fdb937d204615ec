import assert from 'node:assert/strict';
import { describe, it, test } from 'node:test';
import fc from 'fast-check';
import type { JsonObject } from '../prompt-sink.ts';
import { chatPrompt, messagesPrompt } from '../prompts.ts';
import { chatRequest, tokenizeRequest } from './request.ts';
import { Untranslatable } from './untranslatable.ts';

fc.configureGlobal({ seed: 11 });

const HI = { role: 'user', content: 'hi' };

function ask(fields: JsonObject = {}): JsonObject {
  return { model: 'm', max_tokens: 5, messages: [HI], ...fields };
}

/** The chat's messages for these. */
function messages(...given: object[]): unknown {
  return chatRequest(ask({ messages: given }))['messages'];
}

/** Of one message of the user's with these blocks. */
function userSays(...content: object[]): unknown {
  return messages({ role: 'user', content });
}

function refusedAt(fields: JsonObject): string {
  try {
    chatRequest(ask(fields));
  } catch (error) {
    assert.ok(error instanceof Untranslatable, String(error));
    assert.ok(error.message.startsWith(`${error.field}: `));
    return error.field;
  }
  return 'nothing';
}

describe('a message in the words of a chat', () => {
  it('keeps what both APIs call the same, and vLLM’s own extensions', () => {
    const same = {
      ...{ temperature: 0.5, top_p: 0.9, top_k: 3, repetition_penalty: 1.1, cache_salt: 's' },
      vllm_xargs: { a: 1 },
    };
    assert.deepEqual(chatRequest(ask(same)), { ...ask(), ...same });
  });

  it('leaves out what is about Anthropic’s own service', () => {
    const about = {
      service_tier: 'auto',
      cache_control: { type: 'ephemeral' },
      context_management: {},
      top_k: null,
    };
    assert.deepEqual(chatRequest(ask(about)), ask());
  });

  it('renames', () => {
    const chat = chatRequest(ask({ stop_sequences: ['a'], metadata: { user_id: 'u' }, stream: true }));
    assert.deepEqual(
      [chat['stop'], chat['user'], chat['stream'], chat['stop_sequences'], chat['metadata']],
      [['a'], 'u', true, undefined, undefined],
    );
    assert.deepEqual(chat['stream_options'], { include_usage: true, continuous_usage_stats: true });
  });

  it('begins with the system prompt, its blocks joined, without the line for who bills', () => {
    const said = (system: unknown): unknown => chatRequest(ask({ system }))['messages'];
    assert.deepEqual(said('S'), [{ role: 'system', content: 'S' }, HI]);
    const blocks = [
      { type: 'text', text: 'x-anthropic-billing-header: a=1' },
      { type: 'text', text: 'A', cache_control: { type: 'ephemeral' } },
      { type: 'text', text: 'B' },
    ];
    assert.deepEqual(said(blocks), [{ role: 'system', content: 'AB' }, HI]);
    for (const none of ['', [], null]) assert.deepEqual(said(none), [HI]);
  });

  it('shows images', () => {
    const source = { type: 'base64', media_type: 'image/png', data: 'AA==' };
    assert.deepEqual(userSays({ type: 'text', text: 'a' }, { type: 'image', source }), [
      {
        role: 'user',
        content: [
          { type: 'text', text: 'a' },
          { type: 'image_url', image_url: { url: 'data:image/png;base64,AA==' } },
        ],
      },
    ]);
    assert.deepEqual(userSays({ type: 'image', source: { type: 'url', url: 'https://x/y' } }), [
      { role: 'user', content: [{ type: 'image_url', image_url: { url: 'https://x/y' } }] },
    ]);
  });

  it('reads documents of text out', () => {
    const source = { type: 'text', media_type: 'text/plain', data: 'D' };
    assert.deepEqual(userSays({ type: 'document', title: 'T', source }), [
      {
        role: 'user',
        content: [
          { type: 'text', text: 'T\n' },
          { type: 'text', text: 'D' },
        ],
      },
    ]);
    const inner = { type: 'content', content: [{ type: 'text', text: 'C' }] };
    assert.deepEqual(userSays({ type: 'document', source: inner }), [{ role: 'user', content: 'C' }]);
    const found = { type: 'search_result', title: 'T', source: 's', content: [{ type: 'text', text: 'F' }] };
    assert.equal((userSays(found) as { content: object[] }[])[0]?.content.length, 3);
  });

  it('has tools say their results before the user goes on', () => {
    const image = { type: 'image', source: { type: 'url', url: 'u' } };
    assert.deepEqual(
      userSays(
        { type: 'tool_result', tool_use_id: '1', content: [{ type: 'text', text: 'a' }, image] },
        { type: 'tool_result', tool_use_id: '2', content: 'no', is_error: true },
        { type: 'tool_result', tool_use_id: '3' },
        { type: 'text', text: 'go on' },
      ),
      [
        { role: 'tool', tool_call_id: '1', content: 'a' },
        { role: 'tool', tool_call_id: '2', content: 'Error: no' },
        { role: 'tool', tool_call_id: '3', content: '' },
        {
          role: 'user',
          content: [
            { type: 'image_url', image_url: { url: 'u' } },
            { type: 'text', text: 'go on' },
          ],
        },
      ],
    );
  });

  it('has the assistant think, say and call', () => {
    const content = [
      { type: 'thinking', thinking: 'hm', signature: 's' },
      { type: 'redacted_thinking', data: 'x' },
      { type: 'text', text: 'a' },
      { type: 'tool_use', id: '1', name: 'f', input: { x: [1] } },
    ];
    assert.deepEqual(messages(HI, { role: 'assistant', content }), [
      HI,
      {
        role: 'assistant',
        reasoning: 'hm',
        content: 'a',
        tool_calls: [{ id: '1', type: 'function', function: { name: 'f', arguments: '{"x":[1]}' } }],
      },
    ]);
  });

  it('goes on from what the assistant has begun to say', () => {
    const begun = chatRequest(ask({ messages: [HI, { role: 'assistant', content: 'The' }] }));
    assert.deepEqual([begun['add_generation_prompt'], begun['continue_final_message']], [false, true]);
    assert.equal(chatRequest(ask())['continue_final_message'], undefined);
  });

  it('gives a chat its tools', () => {
    const tool = { name: 'f', description: 'd', input_schema: { properties: {} }, cache_control: {} };
    const choices = [
      [{ type: 'auto' }, 'auto'],
      [{ type: 'any' }, 'required'],
      [{ type: 'none' }, 'none'],
      [
        { type: 'tool', name: 'f' },
        { type: 'function', function: { name: 'f' } },
      ],
    ];
    for (const [choice, said] of choices) {
      const chat = chatRequest(ask({ tools: [tool], tool_choice: choice }));
      assert.deepEqual(chat['tool_choice'], said);
      assert.deepEqual(chat['tools'], [
        {
          type: 'function',
          function: { name: 'f', description: 'd', parameters: { type: 'object', properties: {} } },
        },
      ]);
    }
    const single = { type: 'auto', disable_parallel_tool_use: true };
    assert.equal(chatRequest(ask({ tools: [tool], tool_choice: single }))['parallel_tool_calls'], false);
    assert.equal(chatRequest(ask({ tools: [], tool_choice: { type: 'auto' } }))['tool_choice'], undefined);
  });

  it('says whether to think, and how long', () => {
    const on = chatRequest(ask({ thinking: { type: 'enabled', budget_tokens: 2000 } }));
    assert.equal(on['thinking_token_budget'], 2000);
    assert.deepEqual(on['chat_template_kwargs'], { enable_thinking: true, thinking: true });
    const own = { enable_thinking: true, x: 1 };
    const off = chatRequest(ask({ thinking: { type: 'disabled' }, chat_template_kwargs: own }));
    assert.deepEqual(off['chat_template_kwargs'], { enable_thinking: true, thinking: false, x: 1 });
    assert.deepEqual(chatRequest(ask({ thinking: { type: 'adaptive' } })), ask());
  });

  it('says what the answer has to look like', () => {
    const schema = { type: 'object' };
    const chat = chatRequest(
      ask({ output_config: { effort: 'low', format: { type: 'json_schema', schema } } }),
    );
    assert.equal(chat['reasoning_effort'], 'low');
    assert.deepEqual(chat['response_format'], {
      type: 'json_schema',
      json_schema: { name: 'json_schema', schema },
    });
  });

  it('is counted without what is about its answer', () => {
    const counted = tokenizeRequest({ model: 'm', system: 'S', messages: [HI] });
    assert.deepEqual(counted, { model: 'm', messages: [{ role: 'system', content: 'S' }, HI] });
  });
});

describe('what cannot be said is refused by name', () => {
  const inUser = (block: object): JsonObject => ({ messages: [HI, { role: 'user', content: [block] }] });
  const inAssistant = (block: object): JsonObject => ({
    messages: [HI, { role: 'assistant', content: [block] }],
  });
  const cases: readonly (readonly [field: string, fields: JsonObject])[] = [
    ['max_tokens', { max_tokens: undefined }],
    ['max_tokens', { max_tokens: 0 }],
    ['max_tokens', { max_tokens: 1.5 }],
    ['messages', { messages: 'hi' }],
    ['messages', { messages: [] }],
    ['messages.0', { messages: ['hi'] }],
    ['messages.0.role', { messages: [{ role: 'tool', content: 'x' }] }],
    ['messages.0.content', { messages: [{ role: 'user', content: 5 }] }],
    ['messages.1.content.0.type', inUser({ type: 'container_upload', file_id: 'f' })],
    ['messages.1.content.0.text', inUser({ type: 'text' })],
    ['messages.1.content.0.source.type', inUser({ type: 'image', source: { type: 'file', file_id: 'f' } })],
    ['messages.1.content.0.source', inUser({ type: 'image', source: { type: 'base64' } })],
    ['messages.1.content.0.source.type', inUser({ type: 'document', source: { type: 'base64', data: '' } })],
    ['messages.1.content.0.source.type', inUser({ type: 'document', source: { type: 'url', url: 'u' } })],
    ['messages.1.content.0.tool_use_id', inUser({ type: 'tool_result' })],
    [
      'messages.1.content.0.content.0.type',
      inUser({ type: 'tool_result', tool_use_id: 't', content: [{ type: 'tool_use' }] }),
    ],
    ['messages.1.content.0.type', inAssistant({ type: 'server_tool_use', id: 'x' })],
    ['messages.1.content.0.input', inAssistant({ type: 'tool_use', id: 'x', name: 'f', input: 'y' })],
    ['system.0.type', { system: [{ type: 'image' }] }],
    ['tools.0.type', { tools: [{ type: 'web_search_20250305', name: 'web_search' }] }],
    ['tools.0.input_schema', { tools: [{ name: 'f' }] }],
    ['tool_choice', { tool_choice: { type: 'any' } }],
    ['tool_choice.type', { tools: [{ name: 'f', input_schema: {} }], tool_choice: { type: 'some' } }],
    ['stop_sequences.1', { stop_sequences: ['a', 1] }],
    ['thinking.type', { thinking: { type: 'deep' } }],
    ['output_config.format.type', { output_config: { format: { type: 'xml' } } }],
    ['mcp_servers', { mcp_servers: [{ url: 'u' }] }],
    ['container', { container: 'c' }],
    ['n', { n: 2 }],
  ];
  for (const [field, fields] of cases)
    it(`${field} in ${JSON.stringify(fields)}`, () => {
      assert.equal(refusedAt(fields), field);
    });
});

/** Any block of a conversation that can be said in a chat. */
const text = fc.record({ type: fc.constant('text'), text: fc.string() });
const result = fc.record({
  type: fc.constant('tool_result'),
  tool_use_id: fc.string(),
  content: fc.string(),
});
const use = fc.record({
  ...{ type: fc.constant('tool_use'), id: fc.string(), name: fc.string() },
  input: fc.dictionary(fc.string(), fc.jsonValue()),
});
const conversation = fc.array(
  fc.oneof(
    fc.record({
      role: fc.constant('user'),
      content: fc.oneof(fc.string(), fc.array(fc.oneof(text, result))),
    }),
    fc.record({
      role: fc.constant('assistant'),
      content: fc.oneof(fc.string(), fc.array(fc.oneof(text, use))),
    }),
  ),
  { minLength: 1 },
);

test('routing reads a message as it reads the chat that the worker gets', () => {
  const read = (reader: typeof chatPrompt, body: JsonObject): string => {
    let all = '';
    reader(body, {
      role: (name) => (all += `<${name}>`),
      text: (value) => (all += value),
      utf8: (bytes, start, end) => (all += bytes.toString('utf8', start, end)),
      tokens: () => undefined,
    });
    return all;
  };
  fc.assert(
    fc.property(conversation, fc.option(fc.string()), (list, system) => {
      const body = ask({ messages: list, system });
      assert.equal(read(messagesPrompt, body), read(chatPrompt, chatRequest(body)));
    }),
  );
});

test('whatever is sent is translated or refused, and nothing else', () => {
  const value = fc.oneof(fc.jsonValue(), fc.constantFrom('user', 'text', 'tool_result'));
  const block = fc.dictionary(
    fc.constantFrom('type', 'text', 'source', 'content', 'role', 'input', 'name', 'tool_use_id'),
    value,
  );
  const message = fc.record({
    role: fc.constantFrom('user', 'assistant', 'system', 7),
    content: fc.oneof(value, fc.array(block)),
  });
  const any = fc.record({
    ...{
      messages: fc.oneof(value, fc.array(message)),
      system: value,
      tools: fc.oneof(value, fc.array(block)),
    },
    ...{ tool_choice: fc.oneof(value, block), thinking: value, metadata: value, stop_sequences: value },
  });
  fc.assert(
    fc.property(any, (fields) => {
      try {
        JSON.stringify(chatRequest(ask(fields)));
      } catch (error) {
        assert.ok(error instanceof Untranslatable, String(error));
      }
    }),
    { numRuns: 1000 },
  );
});
