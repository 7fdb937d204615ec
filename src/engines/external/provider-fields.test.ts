import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inOneGo } from '../../base/in-pieces.ts';
import { makingProviderBody, unsupportedFields, type ProviderTerms } from './provider-fields.ts';

const TERMS: ProviderTerms = { route: '/v1/chat/completions', model: 'theirs', keepFields: [] };

function made(
  body: string,
  terms: Partial<ProviderTerms> = {},
): { text: string; removed: readonly string[] } {
  const result = inOneGo(makingProviderBody(Buffer.from(body), { ...TERMS, ...terms }));
  assert.ok(result);
  return { text: result.bytes.toString(), removed: result.removed };
}

test('the model gets its name over there, fields of vLLM go, and every other byte stays', () => {
  const { text, removed } = made(
    '{ "top_k":5, "model" : "ours","seed":12345678901234567890 ,"mess\\u0061ges":[{"top_k":1}],"m\\u0069n_p":0.1}',
  );
  assert.equal(text, '{ "model" : "theirs","seed":12345678901234567890 ,"mess\\u0061ges":[{"top_k":1}]}');
  assert.deepEqual(removed, ['top_k', 'min_p']);
});

test('a field that stands there twice goes twice, and is named once', () => {
  assert.deepEqual(made('{"model":"x","top_k":1,"top_k":2}'), {
    text: '{"model":"theirs"}',
    removed: ['top_k'],
  });
});

test('what the provider knows all the same is kept, and what nobody knows is for it to judge', () => {
  const { text, removed } = made('{"model":"x","top_k":1,"min_p":2,"odd":3}', { keepFields: ['top_k'] });
  assert.equal(text, '{"model":"theirs","top_k":1,"odd":3}');
  assert.deepEqual(removed, ['min_p']);
});

test('a completion keeps what OpenAI has there and not in chats', () => {
  const body = '{"model":"x","echo":true,"best_of":2}';
  assert.deepEqual(made(body, { route: '/v1/completions' }).removed, []);
  assert.deepEqual(made(body).removed, ['echo', 'best_of']);
});

test('of stream_options only what vLLM has beyond OpenAI goes', () => {
  const { text, removed } = made(
    '{"model":"x","stream_options":{"include_usage":true,"continuous_usage_stats":true}}',
  );
  assert.equal(text, '{"model":"theirs","stream_options":{"include_usage":true}}');
  assert.deepEqual(removed, ['stream_options.continuous_usage_stats']);
  assert.deepEqual(made('{"model":"x","stream_options":null}').removed, []);
});

test('without a model the body is given none, and what is no object is undefined', () => {
  assert.equal(made('{"input":"a"}', { model: undefined }).text, '{"input":"a"}');
  assert.equal(inOneGo(makingProviderBody(Buffer.from('[1]'), TERMS)), undefined);
});

test('every field that other routers leave out is left out', () => {
  const reference =
    'top_k min_p min_tokens regex ebnf stop_token_ids no_stop_trim ignore_eos continue_final_message skip_special_tokens lora_path session_params separate_reasoning stream_reasoning chat_template_kwargs return_hidden_states repetition_penalty rid additional_data';
  const ours = unsupportedFields('/v1/chat/completions');
  assert.deepEqual(
    reference.split(' ').filter((name) => !ours.includes(name)),
    [],
  );
  for (const own of ['seed', 'logit_bias', 'reasoning_effort', 'user', 'store', 'metadata', 'tools'])
    assert.ok(!ours.includes(own), own);
});
