import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import type { JsonObject } from '../../api/prompt-sink.ts';
import type { AnswerShape } from './answer-shape.ts';
import { chatShape } from './chat-shape.ts';
import { completionShape } from './completion-shape.ts';

const USAGE = { prompt_tokens: 3, total_tokens: 5, completion_tokens: 2 };

function chat(message: object, more: object = {}, top: object = {}): JsonObject {
  const choice = {
    index: 0,
    message: { role: 'assistant', ...message },
    logprobs: null,
    finish_reason: 'stop',
    ...more,
  };
  const head = { id: 'chatcmpl-1', object: 'chat.completion', created: 7, model: 'm' };
  return { ...head, choices: [choice], usage: USAGE, ...top };
}

/** Into events and back again. */
function there(shape: AnswerShape, answer: JsonObject): JsonObject | undefined {
  const events = shape.events(answer, true);
  assert.ok(events);
  const assembler = shape.assembler();
  for (const event of events) assert.ok(assembler.add(JSON.parse(JSON.stringify(event)) as JsonObject));
  return assembler.answer();
}

function messageIn(answer: JsonObject | undefined): JsonObject {
  const [choice] = answer?.['choices'] as readonly { message: JsonObject }[];
  assert.ok(choice);
  return Object.fromEntries(Object.entries(choice.message).filter(([, value]) => value !== null));
}

const CALLS = [
  { id: 'call-1', type: 'function', function: { name: 'f', arguments: '{"a":1}' } },
  { id: 'call-2', type: 'function', function: { name: 'g', arguments: '' } },
];

describe('a chat in one piece and as events', () => {
  for (const [what, message] of [
    ['a text', { content: 'Hi' }],
    ['no text', { content: '' }],
    ['reasoning', { content: 'Hi', reasoning: 'Hm' }],
    ["reasoning under vLLM's older name", { content: 'Hi', reasoning_content: 'Hm' }],
    ['calls of tools', { tool_calls: CALLS }],
    ['a refusal', { content: '', refusal: 'no' }],
  ] as const) {
    it(`says the same, with ${what}`, () => {
      const answer = there(chatShape, chat(message));
      assert.deepEqual(messageIn(answer), { role: 'assistant', ...message });
      assert.deepEqual(answer?.['usage'], USAGE);
    });
  }

  it('keeps logprobs, the reason of the end, and several choices apart', () => {
    const logprobs = {
      content: [
        { token: 'H', logprob: -1, top_logprobs: [] },
        { token: 'i', logprob: -2 },
      ],
    };
    const one = chat({ content: 'Hi' }, { logprobs, finish_reason: 'stop', stop_reason: '###' });
    const [first] = one['choices'] as JsonObject[];
    const two = {
      ...one,
      choices: [first, { ...first, index: 1, message: { role: 'assistant', content: 'Yo' } }],
    };
    const answer = there(chatShape, two)?.['choices'] as JsonObject[];
    assert.equal(answer.length, 2);
    assert.deepEqual(answer[0]?.['logprobs'], logprobs);
    assert.equal(answer[1]?.['stop_reason'], '###');
  });

  it('begins with the role, ends with the reason, and brings the usage only if it is wanted', () => {
    const events = chatShape.events(chat({ content: 'Hi' }), false);
    assert.deepEqual(
      events?.map(({ choices }) => (choices as { delta: object }[])[0]?.delta),
      [{ role: 'assistant', content: '' }, { content: 'Hi' }, {}],
    );
    assert.ok(events.every((event) => !('usage' in event)));
    const last = chatShape.events(chat({ content: 'Hi' }), true)?.at(-1);
    assert.deepEqual([last?.['choices'], last?.['usage']], [[], USAGE]);
  });

  for (const [what, answer] of [
    ['ids of tokens', chat({ content: 'Hi' }, { token_ids: [1, 2] })],
    ['logprobs of the prompt', chat({ content: 'Hi' }, {}, { prompt_logprobs: [null, { 5: {} }] })],
    ['something that nobody knows', chat({ content: 'Hi', hologram: 'x' })],
    ['no choices', { id: 'x' }],
  ] as const) {
    it(`is not made into events with ${what}`, () => {
      assert.equal(chatShape.events(answer, true), undefined);
    });
  }

  it('is not put together from a stream without an end, or without the usage', () => {
    const events = chatShape.events(chat({ content: 'Hi' }), true) ?? [];
    for (const left of [events.length - 1, events.length - 2]) {
      const assembler = chatShape.assembler();
      for (const [at, event] of events.entries()) if (at !== left) assembler.add(event);
      assert.equal(assembler.answer(), undefined);
    }
  });
});

describe('a completion in one piece and as events', () => {
  it('says the same', () => {
    const logprobs = { tokens: ['H'], token_logprobs: [-1], top_logprobs: [null], text_offset: [0] };
    const choice = { index: 0, text: 'H', logprobs, finish_reason: 'length', stop_reason: null };
    const head = { id: 'cmpl-1', object: 'text_completion', created: 7, model: 'm' };
    const answer = { ...head, choices: [choice, { ...choice, index: 1, logprobs: null }], usage: USAGE };
    assert.deepEqual(there(completionShape, answer), {
      service_tier: null,
      system_fingerprint: null,
      ...answer,
    });
  });
});

describe('what a real vLLM 0.32 sends', () => {
  const data = new URL('../../../test/data/vllm-0.32-answers.json', import.meta.url);
  const captured = JSON.parse(readFileSync(data, 'utf8')) as Record<string, JsonObject[]>;
  for (const [what, shape] of [
    ['chat', chatShape],
    ['completion', completionShape],
  ] as const) {
    it(`is put together, and taken apart as it was (${what})`, () => {
      const events = captured[`${what}_stream`] ?? [];
      const assembler = shape.assembler();
      for (const event of events) assert.ok(assembler.add(event), JSON.stringify(event));
      const answer = assembler.answer();
      assert.ok(answer);
      const again = there(shape, answer);
      assert.deepEqual(again, answer);
    });
  }

  it('in one piece can be told as events', () => {
    const [answer] = captured['chat'] ?? [];
    assert.ok(answer && chatShape.events(answer, true));
    assert.equal(messageIn(there(chatShape, answer))['content'], 'QUEbjecttls midffered browser');
  });
});
