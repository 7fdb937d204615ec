/** What people do with the real `openai` package, done through the router. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { APIUserAbortError, toFile } from 'openai';
import type {
  ChatCompletionCreateParamsNonStreaming,
  ChatCompletionTool,
} from 'openai/resources/chat/completions';
import { OWN_POLICY } from '../support/fleet-shape.ts';
import { eventually, startFleet } from '../support/fleet.ts';
import { collect, MODEL, openai, rejection, STEADY, TWINS, user } from './clients.ts';

const CHAT = { model: MODEL, messages: user('Tell me about routers.'), max_tokens: 12 };
const WEATHER: ChatCompletionTool = {
  type: 'function',
  function: {
    name: 'get_weather',
    description: 'The weather in a city.',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  },
};

test('a chat, with the router’s headers beside it', async () => {
  await using fleet = await startFleet();
  const { data, response, request_id } = await openai(fleet).chat.completions.create(CHAT).withResponse();
  const [choice] = data.choices;
  assert.ok(choice?.message.content);
  assert.equal(choice.message.role, 'assistant');
  assert.equal(data.usage?.completion_tokens, 12);
  assert.equal(choice.finish_reason, 'length');
  assert.ok(fleet.workers.some(({ url }) => url === response.headers.get('x-vllm-router-worker')));
  assert.equal(response.headers.get('x-vllm-router-policy'), OWN_POLICY);
  assert.match(request_id ?? '', /^req-/);
  assert.equal((await fleet.decision()).request_id, request_id);
});

test('a request id of the caller’s own goes to the worker and comes back', async () => {
  await using fleet = await startFleet({ workers: [{}] });
  const completion = await openai(fleet).chat.completions.create(CHAT, {
    headers: { 'X-Request-Id': 'mine-1' },
  });
  assert.equal(completion._request_id, 'mine-1');
  const seen = fleet.workers[0]!.seen.find(({ method }) => method === 'POST');
  assert.equal(seen?.headers['x-request-id'], 'mine-1');
});

test('a streamed chat says the same as one in one piece', async () => {
  await using fleet = await startFleet({ workers: TWINS });
  const client = openai(fleet);
  const whole = await client.chat.completions.create(CHAT);
  const chunks = await collect(await client.chat.completions.create({ ...CHAT, stream: true }));
  const text = chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('');
  assert.equal(text, whole.choices[0]?.message.content);
  assert.equal(chunks.at(-1)?.choices[0]?.finish_reason, 'length');
  assert.ok(chunks.every(({ usage }) => !usage));
});

test('include_usage brings the usage chunk, and only then', async () => {
  await using fleet = await startFleet();
  const stream = await openai(fleet).chat.completions.create({
    ...CHAT,
    stream: true,
    stream_options: { include_usage: true },
  });
  const last = (await collect(stream)).at(-1);
  assert.deepEqual(last?.choices, []);
  assert.equal(last.usage?.completion_tokens, 12);
  const decision = await fleet.decision();
  assert.equal(decision.prompt_tokens, last.usage.prompt_tokens);
  assert.equal(decision.completion_tokens, 12);
});

test('the stream helper puts the pieces together', async () => {
  await using fleet = await startFleet({ workers: [STEADY] });
  const client = openai(fleet);
  const runner = client.chat.completions.stream({ ...CHAT, stream_options: { include_usage: true } });
  const pieces: string[] = [];
  runner.on('content', (delta) => pieces.push(delta));
  const final = await runner.finalChatCompletion();
  assert.equal(final.choices[0]?.message.content, pieces.join(''));
  assert.equal(final.usage?.completion_tokens, 12);
  assert.ok(pieces.length > 1);
});

test('a tool is called, in one piece and streamed', async () => {
  await using fleet = await startFleet({ workers: TWINS });
  const client = openai(fleet);
  const body = {
    model: MODEL,
    messages: user('What is the weather?'),
    tools: [WEATHER],
    tool_choice: { type: 'function', function: { name: 'get_weather' } },
  } satisfies ChatCompletionCreateParamsNonStreaming;
  const completion = await client.chat.completions.create(body);
  const [choice] = completion.choices;
  assert.equal(choice?.finish_reason, 'tool_calls');
  const [call] = choice.message.tool_calls ?? [];
  assert.equal(call?.type, 'function');
  assert.equal(call.function.name, 'get_weather');
  assert.deepEqual(JSON.parse(call.function.arguments), { city: 'fox' });

  const [streamed] = (await client.chat.completions.stream(body).finalMessage()).tool_calls ?? [];
  assert.equal(streamed?.type, 'function');
  assert.deepEqual(streamed.function, call.function);
});

test('the result of a tool goes back with the conversation', async () => {
  await using fleet = await startFleet({ workers: [{ reply: 'echo' }] });
  const completion = await openai(fleet).chat.completions.create({
    model: MODEL,
    messages: [
      { role: 'user', content: 'What is the weather?' },
      {
        role: 'assistant',
        tool_calls: [{ id: 'call-1', type: 'function', function: { name: 'get_weather', arguments: '{}' } }],
      },
      { role: 'tool', tool_call_id: 'call-1', content: '{"sky":"grey"}' },
      { role: 'user', content: 'So, an umbrella?' },
    ],
  });
  assert.equal(completion.choices[0]?.message.content, 'So, an umbrella?');
});

test('a caller that leaves a stream stops its worker', async () => {
  await using fleet = await startFleet({ workers: [{ outputTokens: 10_000 }] });
  const [worker] = fleet.workers;
  const { max_tokens: _, ...endless } = CHAT;
  const stream = await openai(fleet).chat.completions.create({ ...endless, stream: true });
  const aborted = worker!.next('aborted');
  for await (const chunk of stream) if (chunk.choices[0]?.delta.content) break;
  await aborted;
  await eventually(() => worker!.model.running === 0);
  assert.equal((await fleet.decision()).outcome, 'client_abort');
});

test('a caller that gives up waiting stops its worker', async () => {
  await using fleet = await startFleet({ workers: [{ faults: ['hang'] }] });
  const [worker] = fleet.workers;
  const controller = new AbortController();
  const arrived = worker!.next('request');
  const request = openai(fleet).chat.completions.create(CHAT, { signal: controller.signal });
  const refused = rejection(request, APIUserAbortError);
  await arrived;
  const aborted = worker!.next('aborted');
  controller.abort();
  await Promise.all([refused, aborted]);
  assert.equal((await fleet.decision()).status, 499);
});

test('completions: text in, text out, several prompts and a stream', async () => {
  await using fleet = await startFleet({ workers: TWINS });
  const client = openai(fleet);
  const body = { model: MODEL, prompt: ['Once upon', 'a time'], max_tokens: 6 };
  const { choices, usage } = await client.completions.create(body);
  assert.equal(choices.length, 2);
  assert.equal(usage?.completion_tokens, 12);
  const chunks = await collect(await client.completions.create({ ...body, stream: true }));
  for (const { index, text } of choices) {
    const pieces = chunks.flatMap((chunk) => chunk.choices).filter((choice) => choice.index === index);
    assert.equal(pieces.map((piece) => piece.text).join(''), text);
  }
});

test('embeddings arrive exact, as floats and as the base64 that the client asks for by itself', async () => {
  await using fleet = await startFleet({ workers: TWINS });
  const client = openai(fleet);
  const body = { model: MODEL, input: ['one text', 'another'], dimensions: 8 };
  const floats = await client.embeddings.create({ ...body, encoding_format: 'float' });
  const packed = await client.embeddings.create(body);
  assert.equal(floats.data.length, 2);
  for (const [index, { embedding }] of floats.data.entries()) {
    assert.equal(embedding.length, 8);
    assert.deepEqual(packed.data[index]?.embedding, embedding.map(Math.fround));
  }
});

test('the models of all workers are one list', async () => {
  const workers = [{ models: ['small', 'shared'] }, { models: ['large', 'shared'] }];
  await using fleet = await startFleet({ workers });
  const ids = (await collect(openai(fleet).models.list())).map(({ id }) => id);
  assert.deepEqual(ids.toSorted(), ['large', 'shared', 'small']);
});

test('each model is served by the worker that has it', async () => {
  await using fleet = await startFleet({ workers: [{ models: ['small'] }, { models: ['large'] }] });
  for (const [index, model] of ['small', 'large'].entries()) {
    const { response } = await openai(fleet)
      .chat.completions.create({ ...CHAT, model })
      .withResponse();
    assert.equal(response.headers.get('x-vllm-router-worker'), fleet.workers[index]?.url);
  }
});

test('a stored response is read, continued and cancelled on the worker that made it', async () => {
  await using fleet = await startFleet({ router: { policy: 'round_robin' } });
  const client = openai(fleet);
  const body = { model: MODEL, input: 'Remember the word "owl".', max_output_tokens: 400 };
  const { data: made, response: head } = await client.responses.create(body).withResponse();
  const worker = head.headers.get('x-vllm-router-worker');
  assert.equal(made.status, 'completed');
  assert.ok(made.output_text);

  for (let round = 0; round < 3; round += 1) {
    const { data, response } = await client.responses.retrieve(made.id).withResponse();
    assert.equal(data.output_text, made.output_text);
    assert.equal(response.headers.get('x-vllm-router-worker'), worker);
    assert.equal(response.headers.get('x-vllm-router-method'), 'owner');
  }
  const items = await collect(client.responses.inputItems.list(made.id));
  assert.equal(items.length, 1);
  const { data: next, response } = await client.responses
    .create({ ...body, input: 'And now?', previous_response_id: made.id })
    .withResponse();
  assert.equal(response.headers.get('x-vllm-router-worker'), worker);
  assert.notEqual(next.id, made.id);
});

test('a response in the background is cancelled where it runs', async () => {
  await using fleet = await startFleet({
    workers: [{ timeScale: 1 }, { timeScale: 1 }],
    router: { policy: 'round_robin' },
  });
  const client = openai(fleet);
  const made = await client.responses.create({ model: MODEL, input: 'Take your time.', background: true });
  assert.equal(made.status, 'queued');
  const cancelled = await client.responses.cancel(made.id);
  assert.equal(cancelled.status, 'cancelled');
  assert.equal((await client.responses.retrieve(made.id)).status, 'cancelled');
});

test('a streamed response tells its events in order', async () => {
  await using fleet = await startFleet();
  const stream = await openai(fleet).responses.create({
    model: MODEL,
    input: 'Say something.',
    stream: true,
    max_output_tokens: 8,
  });
  const events = await collect(stream);
  assert.equal(events[0]?.type, 'response.created');
  const text = events
    .map((event) => (event.type === 'response.output_text.delta' ? event.delta : ''))
    .join('');
  const last = events.at(-1);
  assert.ok(last?.type === 'response.completed' || last?.type === 'response.incomplete');
  assert.equal(last.response.output_text ?? text, text);
  assert.ok(text.length > 0);
});

for (const [name, bytes] of [
  ['small', 10_000],
  ['larger than what the router holds', 3_000_000],
] as const) {
  test(`a sound file to transcribe, ${name}, arrives byte for byte`, async () => {
    await using fleet = await startFleet();
    const sound = Buffer.alloc(bytes, 'RIFF\x00\xff\r\n--');
    const { text } = await openai(fleet).audio.transcriptions.create({
      model: MODEL,
      file: await toFile(sound, 'speech.wav', { type: 'audio/wav' }),
    });
    assert.ok(text.length > 0);
    const seen = fleet.workers.flatMap((worker) => worker.seen).filter(({ method }) => method === 'POST');
    assert.equal(seen.length, 1);
    assert.ok(seen[0]?.body.includes(sound));
  });
}
