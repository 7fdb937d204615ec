import assert from 'node:assert/strict';
import { it } from 'node:test';
import { lastWords } from './last-words.ts';

const user = (content: unknown): object => ({ role: 'user', content });

for (const [what, body, expected] of [
  ['the last message of a user', { messages: [user('a'), { role: 'assistant', content: 'b' }] }, ['a', 0]],
  [
    'text parts, a space between them',
    {
      messages: [
        user('a'),
        user([{ type: 'text', text: 'b' }, { type: 'image_url' }, { type: 'text', text: 'c' }]),
      ],
    },
    ['b c', 1],
  ],
  [
    'not what a tool said in the name of the user',
    { messages: [user('a'), user([{ type: 'tool_result', content: 'x' }])] },
    ['a', 0],
  ],
  ['input that is a text', { input: 'a' }, ['a', undefined]],
  ['input that is messages', { input: [user([{ type: 'input_text', text: 'a' }])] }, ['a', 0]],
  ['a prompt', { prompt: 'a' }, ['a', undefined]],
  ['the only prompt of a list', { prompt: ['a'] }, ['a', undefined]],
] as const)
  it(`takes ${what}`, () => {
    const found = lastWords(body);
    assert.deepEqual([found?.text, found?.at], expected);
  });

for (const [what, body] of [
  ['several prompts', { prompt: ['a', 'b'] }],
  ['token ids', { prompt: [1, 2] }],
  ['nothing but white space', { messages: [user(' \n')] }],
  ['messages that are none', { messages: [null, 'x', 3] }],
  ['no messages', { messages: [] }],
] as const)
  it(`finds nothing in ${what}`, () => {
    assert.equal(lastWords(body), undefined);
  });
