/** The real `@anthropic-ai/sdk` in front of workers that know OpenAI's API alone. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { APIUserAbortError, BadRequestError, InternalServerError, NotFoundError } from '@anthropic-ai/sdk';
import type {
  MessageCreateParamsNonStreaming,
  MessageParam,
  ToolResultBlockParam,
} from '@anthropic-ai/sdk/resources/messages';
import { eventually, startFleet, type Fleet } from '../support/fleet.ts';
import { answering } from '../support/fleet-shape.ts';
import type { SimOptions } from '../../src/sim/server/options.ts';
import { anthropic, collect, MODEL, NO_RETRIES, rejection, STEADY, user } from './clients.ts';

/** A vLLM that is too old for Anthropic's API. */
const OLD = { messagesApi: false, seed: 1, outputTokens: 1000 } satisfies SimOptions;
const ASK = {
  model: MODEL,
  max_tokens: 12,
  system: 'Be brief.',
  messages: user('Tell me about routers.'),
} satisfies MessageCreateParamsNonStreaming;
const TOOLS = [
  {
    name: 'get_weather',
    description: 'What the weather is like.',
    input_schema: { type: 'object' as const, properties: { city: { type: 'string' } } },
  },
];

interface SentChat {
  readonly messages: readonly object[];
  readonly tool_choice?: object;
  readonly parallel_tool_calls?: boolean;
}

/** Bodies that the workers which answer were sent on the path. */
function sentTo({ workers }: Fleet, path: string): SentChat[] {
  return workers
    .flatMap(({ seen }) => seen)
    .filter(({ url }) => url === path)
    .map(({ body }) => JSON.parse(String(body)));
}

test('a message is the same as from a worker that knows the API', async () => {
  await using old = await startFleet({ workers: [OLD] });
  await using own = await startFleet({ workers: [{ ...OLD, messagesApi: true }] });
  const [translated, passed] = await Promise.all(
    [old, own].map((fleet) => anthropic(fleet).messages.create(ASK)),
  );
  assert.match(translated!.id, /^msg_(?!chatcmpl)/);
  assert.deepEqual(
    { ...translated, id: '', usage: { ...translated!.usage, cache_creation_input_tokens: 0 } },
    { ...passed, id: '' },
  );
  const decision = await old.decision();
  assert.equal(decision.prompt_tokens, passed!.usage.input_tokens);
  assert.equal(decision.completion_tokens, 12);
  assert.ok(answering(decision).every(({ translated }) => translated === true));
});

test('streamed events arrive in Anthropic’s order and come to the same message', async () => {
  await using fleet = await startFleet({ workers: [OLD] });
  const client = anthropic(fleet);
  const whole = await client.messages.create({ ...ASK, max_tokens: 200 });
  const events = await collect(await client.messages.create({ ...ASK, max_tokens: 200, stream: true }));
  assert.deepEqual(
    events.map(({ type }) => type).filter((type, index, types) => type !== types[index - 1]),
    [
      ...['message_start', 'content_block_start', 'content_block_delta', 'content_block_stop'],
      ...['message_delta', 'message_stop'],
    ],
  );
  const [start] = events;
  assert.ok(start?.type === 'message_start' && start.message.usage.input_tokens > 0);
  const message = await client.messages.stream({ ...ASK, max_tokens: 200 }).finalMessage();
  assert.deepEqual(message.content, whole.content);
  assert.equal(message.stop_reason, whole.stop_reason);
  assert.equal(message.usage.output_tokens, 200);
  const decision = await fleet.decision(({ stream }) => stream);
  assert.equal(decision.completion_tokens, 200);
  assert.ok((decision.ttft_ms ?? 0) > 0);
});

test('a tool loop: the call, its result, and what is made of it', async () => {
  await using fleet = await startFleet({ workers: [OLD] });
  const client = anthropic(fleet);
  const choice = { type: 'tool' as const, name: 'get_weather', disable_parallel_tool_use: true };
  const ask = { ...ASK, max_tokens: 100, tools: TOOLS, tool_choice: choice };
  for (const message of [
    await client.messages.create(ask),
    await client.messages.stream(ask).finalMessage(),
  ]) {
    assert.equal(message.stop_reason, 'tool_use');
    const [call] = message.content;
    assert.ok(call?.type === 'tool_use');
    assert.deepEqual([call.name, call.input], ['get_weather', { city: 'fox' }]);
    const result: ToolResultBlockParam = {
      type: 'tool_result',
      tool_use_id: call.id,
      content: [{ type: 'text', text: '20 degrees' }],
    };
    const messages: MessageParam[] = [
      ...ASK.messages,
      { role: 'assistant', content: message.content },
      { role: 'user', content: [result] },
    ];
    const answer = await client.messages.create({ ...ASK, tools: TOOLS, messages });
    assert.equal(answer.content[0]?.type, 'text');
    const sent = sentTo(fleet, '/v1/chat/completions').at(-1);
    assert.deepEqual(sent?.messages.slice(2), [
      {
        role: 'assistant',
        tool_calls: [
          { id: call.id, type: 'function', function: { name: 'get_weather', arguments: '{"city":"fox"}' } },
        ],
      },
      { role: 'tool', tool_call_id: call.id, content: '20 degrees' },
    ]);
  }
  const [first] = sentTo(fleet, '/v1/chat/completions');
  assert.equal(first?.parallel_tool_calls, false);
  assert.deepEqual(first?.tool_choice, { type: 'function', function: { name: 'get_weather' } });
});

test('a stop sequence is told', async () => {
  await using fleet = await startFleet({ workers: [{ ...OLD, reply: 'echo' }] });
  const client = anthropic(fleet);
  const ask = { ...ASK, max_tokens: 100, messages: user('one two three'), stop_sequences: ['two'] };
  for (const message of [
    await client.messages.create(ask),
    await client.messages.stream(ask).finalMessage(),
  ]) {
    assert.deepEqual([message.stop_reason, message.stop_sequence], ['stop_sequence', 'two']);
    assert.deepEqual(message.content, [{ type: 'text', text: 'one ' }]);
  }
});

test('what was in the cache is told as read from there', async () => {
  await using fleet = await startFleet({ workers: [OLD] });
  const client = anthropic(fleet);
  const ask = { ...ASK, messages: user('a long story '.repeat(100)) };
  await client.messages.create(ask);
  const { usage } = await client.messages.create(ask);
  assert.ok((usage.cache_read_input_tokens ?? 0) > 100);
  const decision = await fleet.decision();
  assert.equal(decision.prompt_tokens, usage.input_tokens + (usage.cache_read_input_tokens ?? 0));
  assert.equal(decision.actual_cached_tokens, usage.cache_read_input_tokens);
});

test('tokens are counted by /tokenize', async () => {
  await using fleet = await startFleet({ workers: [OLD] });
  const { model, system, messages } = ASK;
  const client = anthropic(fleet);
  const { input_tokens } = await client.messages.countTokens({ model, system, messages });
  assert.equal(input_tokens, (await client.messages.create(ASK)).usage.input_tokens);
  assert.equal(fleet.workers[0]!.seen.filter(({ url }) => url === '/tokenize').length, 1);
});

test('the caller’s key goes where such workers look for it', async () => {
  await using fleet = await startFleet({ workers: [OLD] });
  await anthropic(fleet).messages.create(ASK);
  const seen = fleet.workers[0]!.seen.find(({ url }) => url === '/v1/chat/completions');
  assert.equal(seen?.headers['authorization'], 'Bearer sk-ant-anything');
  assert.equal(seen.headers['anthropic-version'], undefined);
});

test('what the worker refuses is told in Anthropic’s shape', async () => {
  await using fleet = await startFleet({ workers: [OLD] });
  const client = anthropic(fleet);
  const refused = await rejection(client.messages.create({ ...ASK, messages: [] }), BadRequestError);
  assert.equal(refused.type, 'invalid_request_error');
  assert.match(refused.message, /at least one message/);
  const unknown = await rejection(client.messages.create({ ...ASK, model: 'other' }), NotFoundError);
  assert.equal(unknown.type, 'not_found_error');
});

test('what cannot be said is refused by the name of its field', async () => {
  await using fleet = await startFleet({ workers: [OLD] });
  const client = anthropic(fleet);
  const pdf = {
    type: 'document' as const,
    source: { type: 'base64' as const, media_type: 'application/pdf' as const, data: 'AA==' },
  };
  const ask = { ...ASK, messages: [{ role: 'user' as const, content: [pdf] }] };
  const error = await rejection(client.messages.create(ask), BadRequestError);
  assert.match(error.message, /messages\.0\.content\.0\.source\.type/);
  assert.equal((await fleet.decision()).error, 'untranslatable');
});

test('a worker that breaks is an api_error, before its answer and within it', async () => {
  await using fleet = await startFleet({ workers: [{ ...OLD, faults: ['reset'] }], router: NO_RETRIES });
  const error = await rejection(anthropic(fleet).messages.create(ASK), InternalServerError);
  assert.deepEqual([error.status, error.type], [502, 'api_error']);
  await using midway = await startFleet({ workers: [{ ...OLD, faults: ['reset:after=5'] }] });
  const stream = anthropic(midway).messages.stream({ ...ASK, max_tokens: 200 });
  const texts: string[] = [];
  stream.on('text', (text) => texts.push(text));
  await assert.rejects(stream.finalMessage(), /api_error/);
  assert.ok(texts.length > 0);
  assert.equal((await midway.decision()).outcome, 'worker_broken');
});

test('a caller that leaves a stream stops its worker', async () => {
  await using fleet = await startFleet({ workers: [{ ...OLD, ...STEADY, outputTokens: 10_000 }] });
  const [worker] = fleet.workers;
  const aborted = worker!.next('aborted');
  const stream = anthropic(fleet).messages.stream({ ...ASK, max_tokens: 15_000 });
  stream.once('text', () => stream.abort());
  await Promise.all([rejection(stream.finalMessage(), APIUserAbortError), aborted]);
  await eventually(() => worker!.model.running === 0);
  assert.equal((await fleet.decision()).outcome, 'client_abort');
});
