/** The real `@anthropic-ai/sdk`, passed through to workers that speak Anthropic's messages API. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  APIConnectionError,
  APIConnectionTimeoutError,
  APIError,
  APIUserAbortError,
  BadRequestError,
  InternalServerError,
  RateLimitError,
} from '@anthropic-ai/sdk';
import type { MessageCreateParamsNonStreaming } from '@anthropic-ai/sdk/resources/messages';
import { eventually, startFleet } from '../support/fleet.ts';
import { anthropic, collect, MODEL, NO_RETRIES, rejection, STEADY, TWINS, user } from './clients.ts';

const ASK = {
  model: MODEL,
  max_tokens: 12,
  system: 'Be brief.',
  messages: user('Tell me about routers.'),
} satisfies MessageCreateParamsNonStreaming;
/** Long enough to break in the middle, and for its end to be far from its beginning. */
const LONG = { ...ASK, max_tokens: 200 };
const TOOLS = [
  {
    name: 'get_weather',
    input_schema: { type: 'object' as const, properties: { city: { type: 'string' } } },
  },
];

/** Anthropic's error object, as the client keeps it. */
function errorOf(error: APIError): {
  readonly type?: string;
  readonly message?: string;
  readonly code?: string;
} {
  // The client types the body of an error as any object.
  const body = error.error as { readonly type?: string; readonly error?: object } | undefined;
  assert.equal(body?.type, 'error');
  return body.error ?? {};
}

test('a message, with the router’s headers beside it', async () => {
  await using fleet = await startFleet();
  const { data, response } = await anthropic(fleet).messages.create(ASK).withResponse();
  const [block] = data.content;
  assert.ok(block?.type === 'text' && block.text.length > 0);
  assert.equal(data.stop_reason, 'max_tokens');
  assert.equal(data.usage.output_tokens, 12);
  assert.ok(fleet.workers.some(({ url }) => url === response.headers.get('x-vllm-router-worker')));
  const decision = await fleet.decision();
  assert.equal(decision.route, '/v1/messages');
  assert.equal(decision.request_id, response.headers.get('x-request-id'));
  assert.equal(decision.prompt_tokens, data.usage.input_tokens);
  assert.equal(decision.completion_tokens, 12);
});

test('the caller’s credentials and version reach a worker without a key of its own', async () => {
  await using fleet = await startFleet({ workers: [{}] });
  await anthropic(fleet).messages.create(ASK);
  const seen = fleet.workers[0]!.seen.find(({ method }) => method === 'POST');
  assert.equal(seen?.headers['authorization'], 'Bearer sk-ant-anything');
  assert.ok(seen.headers['anthropic-version']);
});

test('streamed events arrive in order and say the same as a message in one piece', async () => {
  await using fleet = await startFleet({ workers: TWINS });
  const client = anthropic(fleet);
  const whole = await client.messages.create(LONG);
  const events = await collect(await client.messages.create({ ...LONG, stream: true }));
  assert.deepEqual(
    events.map(({ type }) => type).filter((type, index, types) => type !== types[index - 1]),
    [
      'message_start',
      'content_block_start',
      'content_block_delta',
      'content_block_stop',
      'message_delta',
      'message_stop',
    ],
  );
  const text = events.map((event) =>
    event.type === 'content_block_delta' && event.delta.type === 'text_delta' ? event.delta.text : '',
  );
  assert.deepEqual(whole.content, [{ type: 'text', text: text.join('') }]);
  const decision = await fleet.decision(({ stream }) => stream);
  assert.equal(decision.prompt_tokens, whole.usage.input_tokens);
  assert.equal(decision.completion_tokens, 200);
});

test('the stream helper puts the pieces together', async () => {
  await using fleet = await startFleet({ workers: [STEADY] });
  const pieces: string[] = [];
  const stream = anthropic(fleet).messages.stream(ASK);
  stream.on('text', (text) => pieces.push(text));
  const message = await stream.finalMessage();
  assert.deepEqual(message.content, [{ type: 'text', text: pieces.join('') }]);
  assert.equal(message.usage.output_tokens, 12);
  assert.ok(pieces.length > 1);
});

test('a tool is used, in one piece and streamed', async () => {
  await using fleet = await startFleet({ workers: TWINS });
  const client = anthropic(fleet);
  const body = {
    ...ASK,
    max_tokens: 100,
    tools: TOOLS,
    tool_choice: { type: 'tool' as const, name: 'get_weather' },
  };
  for (const message of [
    await client.messages.create(body),
    await client.messages.stream(body).finalMessage(),
  ]) {
    assert.equal(message.stop_reason, 'tool_use');
    const [block] = message.content;
    assert.ok(block?.type === 'tool_use');
    assert.equal(block.name, 'get_weather');
    assert.deepEqual(block.input, { city: 'fox' });
  }
});

test('tokens are counted by a worker', async () => {
  await using fleet = await startFleet();
  const { model, system, messages } = ASK;
  const client = anthropic(fleet);
  const { input_tokens } = await client.messages.countTokens({ model, system, messages });
  assert.equal(input_tokens, (await client.messages.create(ASK)).usage.input_tokens);
});

test('a caller that leaves a stream stops its worker', async () => {
  await using fleet = await startFleet({ workers: [{ outputTokens: 10_000 }] });
  const [worker] = fleet.workers;
  const aborted = worker!.next('aborted');
  const stream = anthropic(fleet).messages.stream({ ...ASK, max_tokens: 15_000 });
  stream.once('text', () => stream.abort());
  await Promise.all([rejection(stream.finalMessage(), APIUserAbortError), aborted]);
  await eventually(() => worker!.model.running === 0);
  assert.equal((await fleet.decision()).outcome, 'client_abort');
});

test('what the worker refuses is a BadRequestError in the worker’s words', async () => {
  await using fleet = await startFleet();
  const error = await rejection(anthropic(fleet).messages.create({ ...ASK, messages: [] }), BadRequestError);
  assert.equal(errorOf(error).type, 'invalid_request_error');
  assert.match(errorOf(error).message ?? '', /at least one message/);
});

test('what the router refuses is told in Anthropic’s shape', async () => {
  await using fleet = await startFleet({
    router: { modelRules: [{ match: 'other', rewrite: 'sim-model' }] },
  });
  const request = anthropic(fleet).post('/v1/messages', {
    body: '{"model": ',
    headers: { 'content-type': 'application/json' },
  });
  const error = await rejection(request, BadRequestError);
  assert.equal(errorOf(error).type, 'invalid_request_error');
  const decision = await fleet.decision();
  assert.equal(error.requestID, decision.request_id);
  assert.equal(errorOf(error).code, 'invalid_json');
});

test('a router that is full is a RateLimitError with retry-after', async () => {
  await using fleet = await startFleet({
    workers: [{ faults: ['hang:times=1'] }],
    router: { maxConcurrentRequests: 1, queueSize: 0 },
  });
  const client = anthropic(fleet);
  const controller = new AbortController();
  const arrived = fleet.workers[0]!.next('request');
  const first = rejection(client.messages.create(ASK, { signal: controller.signal }), APIError);
  await arrived;
  const error = await rejection(client.messages.create(ASK), RateLimitError);
  assert.equal(errorOf(error).type, 'rate_limit_error');
  assert.equal(errorOf(error).code, 'queue_full');
  assert.match(error.headers.get('retry-after') ?? '', /^[1-9]\d*$/);
  controller.abort();
  await first;
});

test('no worker at all is overloaded_error with status 503', async () => {
  await using fleet = await startFleet({ workers: [{ faults: ['refuse'] }], waitForWorkers: false });
  const error = await rejection(anthropic(fleet).messages.create(ASK), InternalServerError);
  assert.equal(error.status, 503);
  assert.equal(errorOf(error).type, 'overloaded_error');
});

test('a worker that breaks before its answer is an api_error with status 502', async () => {
  await using fleet = await startFleet({ workers: [{ faults: ['reset'] }], router: NO_RETRIES });
  for (const stream of [false, true]) {
    const error = await rejection(anthropic(fleet).messages.create({ ...ASK, stream }), InternalServerError);
    assert.equal(error.status, 502);
    assert.equal(errorOf(error).type, 'api_error');
    assert.equal(errorOf(error).code, 'worker_closed');
  }
});

test('a worker that keeps its caller waiting is a timeout_error with status 504', async () => {
  await using fleet = await startFleet({
    workers: [{ faults: ['hang'] }],
    router: { requestTimeoutSecs: 0.1 },
  });
  const error = await rejection(anthropic(fleet).messages.create(ASK), InternalServerError);
  assert.equal(error.status, 504);
  assert.equal(errorOf(error).type, 'timeout_error');
});

for (const fault of ['close:after=4', 'reset:after=4', 'close:after=4,partial=true']) {
  test(`a stream that breaks (${fault}) ends in an error, never as a short answer`, async () => {
    await using fleet = await startFleet({ workers: [{ ...STEADY, faults: [fault] }] });
    const client = anthropic(fleet);
    const error = await rejection(collect(await client.messages.create({ ...LONG, stream: true })), Error);
    if (!fault.includes('partial')) {
      assert.ok(error instanceof APIError);
      assert.equal(errorOf(error).type, 'api_error');
      assert.equal(errorOf(error).code, 'worker_closed');
    }
    await rejection(client.messages.stream(LONG).finalMessage(), Error);
    assert.equal((await fleet.decision()).outcome, 'worker_broken');
  });
}

test('the client’s own timeout is an APIConnectionTimeoutError, and the worker is told', async () => {
  await using fleet = await startFleet({ workers: [{ faults: ['hang'] }] });
  const aborted = fleet.workers[0]!.next('aborted');
  const request = anthropic(fleet).messages.create(ASK, { timeout: 1000 });
  await Promise.all([rejection(request, APIConnectionTimeoutError), aborted]);
});

test('a router that is not there is an APIConnectionError', async () => {
  const fleet = await startFleet();
  await fleet.stop();
  await rejection(anthropic(fleet).messages.create(ASK), APIConnectionError);
});
