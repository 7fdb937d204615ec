import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LongIds } from '../api/long-ids.ts';
import { readTokenPrompt, type TokenRoute } from './token-prompt.ts';

const USER = { role: 'user', content: 'Hello' };
const IMAGE = { type: 'image_url', image_url: { url: 'data:image/png;base64,AA==' } };

/** `ids`, `text`, `render`, or why it is estimated. */
function read(route: TokenRoute, body: Record<string, unknown>, trustChatTemplates = false): string {
  const prompt = readTokenPrompt(route, body, { trustChatTemplates });
  if (prompt.kind === 'unasked') return prompt.why;
  if (prompt.kind === 'ids') return `ids ${prompt.ids.join(' ')}`;
  return prompt.renderOnly ? 'render' : 'text';
}

describe('how the tokens of a prompt can be known', () => {
  for (const [what, route, body, expected] of [
    ['a chat', 'chat', { messages: [USER] }, 'text'],
    [
      'a chat with text parts and a tool call',
      'chat',
      {
        messages: [
          { role: 'user', content: [{ type: 'text', text: 'a' }, 'b'] },
          { role: 'assistant', content: null, tool_calls: [{ function: { name: 'f', arguments: '{}' } }] },
          { role: 'tool', content: 'c' },
        ],
        tools: [{ type: 'function', function: { name: 'f' } }],
      },
      'text',
    ],
    ['an image', 'chat', { messages: [{ role: 'user', content: [IMAGE] }] }, 'multimodal'],
    [
      'an image that says that it is text',
      'chat',
      { messages: [{ role: 'user', content: [{ ...IMAGE, type: 'text' }] }] },
      'multimodal',
    ],
    [
      'a part of another type',
      'chat',
      { messages: [{ role: 'user', content: [{ type: 'new' }] }] },
      'multimodal',
    ],
    ['a chat that must be cut', 'chat', { messages: [USER], truncate_prompt_tokens: 10 }, 'render'],
    ['tools that may not be shown', 'chat', { messages: [USER], tools: [{}], tool_choice: 'none' }, 'render'],
    ['a template of its own', 'chat', { messages: [USER], chat_template: '{{ 1 }}' }, 'chat_template'],
    [
      'one in the arguments',
      'chat',
      { messages: [USER], chat_template_kwargs: { chat_template: '{{ 1 }}' } },
      'chat_template',
    ],
    ['no messages', 'chat', { messages: [] }, 'no_prompt'],
    ['what is no list of messages', 'chat', { messages: 'Hello' }, 'no_prompt'],
    ['a prompt', 'completion', { prompt: 'Hello' }, 'text'],
    ['a list of one prompt', 'completion', { prompt: ['Hello'] }, 'render'],
    ['two prompts', 'completion', { prompt: ['Hello', 'you'] }, 'several_prompts'],
    ['two prompts of ids', 'completion', { prompt: [[1], [2]] }, 'several_prompts'],
    ['ids', 'completion', { prompt: [1, 4_294_967_295] }, 'ids 1 4294967295'],
    ['a list of one list of ids', 'completion', { prompt: [[1, 2]] }, 'ids 1 2'],
    ['many ids', 'completion', { prompt: new LongIds(Int32Array.of(7, 8)) }, 'ids 7 8'],
    ['ids to be cut', 'completion', { prompt: [1, 2], truncate_prompt_tokens: 1 }, 'render'],
    ['what is no id', 'completion', { prompt: [1, -2] }, 'several_prompts'],
    ['a suffix', 'completion', { prompt: 'a', suffix: 'b' }, 'render'],
    ['embeddings', 'completion', { prompt_embeds: 'AA==' }, 'multimodal'],
    ['nothing', 'completion', {}, 'no_prompt'],
    ['a message', 'messages', { messages: [USER], system: [{ type: 'text', text: 'a' }] }, 'render'],
    [
      'an image in the result of a tool',
      'messages',
      {
        messages: [
          { role: 'user', content: [{ type: 'tool_result', content: [{ type: 'image', source: {} }] }] },
        ],
      },
      'multimodal',
    ],
    ['a text', 'responses', { input: 'Hello', tools: [{ type: 'function', name: 'f' }] }, 'render'],
    ['items', 'responses', { input: [{ type: 'function_call_output', output: 'x' }] }, 'render'],
    ['a file', 'responses', { input: [{ role: 'user', content: [{ type: 'input_file' }] }] }, 'multimodal'],
    ['one that goes on', 'responses', { input: 'a', previous_response_id: 'resp_1' }, 'stored'],
    ['built-in tools', 'responses', { input: 'a', tools: [{ type: 'web_search' }] }, 'built_in_tools'],
    ['ids to generate from', 'generate', { token_ids: [3, 4] }, 'ids 3 4'],
    ['ids with pictures among them', 'generate', { token_ids: [3], features: {} }, 'multimodal'],
  ] as const)
    it(`${route}: ${what}: ${expected}`, () => {
      assert.equal(read(route, body), expected);
    });

  it('a template of the request is used where that is trusted', () => {
    assert.equal(read('chat', { messages: [USER], chat_template: '{{ 1 }}' }, true), 'text');
  });
});
