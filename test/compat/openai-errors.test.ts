/** Whatever goes wrong reaches the caller of the real `openai` package as an error of the right class. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  APIConnectionError,
  APIConnectionTimeoutError,
  APIError,
  AuthenticationError,
  BadRequestError,
  InternalServerError,
  NotFoundError,
  RateLimitError,
} from 'openai';
import { eventually, startFleet } from '../support/fleet.ts';
import { collect, MODEL, NO_RETRIES, openai, rejection, STEADY, user } from './clients.ts';

const CHAT = { model: MODEL, messages: user('Tell me about routers.'), max_tokens: 12 };
const STREAM = { ...CHAT, stream: true } as const;
/** Long enough to break in the middle. */
const LONG = { ...CHAT, max_tokens: 200 };
const LONG_STREAM = { ...LONG, stream: true } as const;

test('what the worker refuses is a BadRequestError in the worker’s words', async () => {
  await using fleet = await startFleet();
  const request = openai(fleet).chat.completions.create({ ...CHAT, messages: [] });
  const error = await rejection(request, BadRequestError);
  assert.match(error.message, /at least one message/);
  assert.equal(error.type, 'BadRequestError');
  assert.equal(error.param, 'messages');
  assert.ok(error.requestID);
  assert.equal((await fleet.decision()).attempts.length, 1);
});

test('what the router refuses is a BadRequestError with a code', async () => {
  await using fleet = await startFleet({
    router: { modelRules: [{ match: 'other', rewrite: 'sim-model' }] },
  });
  const request = openai(fleet).post('/chat/completions', {
    body: '{"model": ',
    headers: { 'content-type': 'application/json' },
  });
  const error = await rejection(request, BadRequestError);
  assert.equal(error.code, 'invalid_json');
  assert.equal(error.type, 'invalid_request_error');
});

test('a model that nobody has is a NotFoundError: of a worker, or of the router where it may say so', async () => {
  const unknown = { ...CHAT, model: 'no-such-model' };
  await using passing = await startFleet();
  const passed = await rejection(openai(passing).chat.completions.create(unknown), NotFoundError);
  assert.match(passed.message, /no-such-model/);
  assert.equal(passed.type, 'NotFoundError');
  await using rejecting = await startFleet({ router: { unknownModel: 'reject' } });
  const rejected = await rejection(openai(rejecting).chat.completions.create(unknown), NotFoundError);
  assert.equal(rejected.code, 'model_not_found');
  assert.ok(rejecting.workers.every(({ seen }) => seen.every(({ method }) => method === 'GET')));
});

test('a key that the worker does not accept is an AuthenticationError', async () => {
  // The router has no key of its own, so the callers' keys go through; the worker tells nobody else its models.
  await using fleet = await startFleet({ workers: [{ apiKeys: ['right'] }], waitForWorkers: false });
  await eventually(() => fleet.app.runtime.registry.workers.every(({ health }) => health.healthy));
  await rejection(openai(fleet).chat.completions.create(CHAT), AuthenticationError);
  const completion = await openai(fleet, { apiKey: 'right' }).chat.completions.create(CHAT);
  assert.ok(completion.choices[0]?.message.content);
});

test('a router that is full is a RateLimitError with retry-after', async () => {
  await using fleet = await startFleet({
    workers: [{ faults: ['hang:times=1'] }],
    router: { maxConcurrentRequests: 1, queueSize: 0 },
  });
  const client = openai(fleet);
  const controller = new AbortController();
  const arrived = fleet.workers[0]!.next('request');
  const first = rejection(client.chat.completions.create(CHAT, { signal: controller.signal }), APIError);
  await arrived;
  const error = await rejection(client.chat.completions.create(CHAT), RateLimitError);
  assert.equal(error.code, 'queue_full');
  assert.equal(error.type, 'rate_limit_error');
  assert.match(error.headers.get('retry-after') ?? '', /^[1-9]\d*$/);
  controller.abort();
  await first;
});

test('a worker’s 429 and its retry-after pass, and the client’s own retry succeeds', async () => {
  const worker = { faults: ['status:code=429,retry_after=7,times=1'] };
  await using fleet = await startFleet({ workers: [worker], router: NO_RETRIES });
  const error = await rejection(openai(fleet).chat.completions.create(CHAT), RateLimitError);
  assert.equal(error.headers.get('retry-after'), '7');
  await fleet.workers[0]!.setFaults(['status:code=429,times=1']);
  const completion = await openai(fleet, { maxRetries: 1 }).chat.completions.create(CHAT);
  assert.ok(completion.choices[0]?.message.content);
});

test('no worker at all is an InternalServerError with status 503 and retry-after', async () => {
  await using fleet = await startFleet({ workers: [{ faults: ['refuse'] }], waitForWorkers: false });
  const error = await rejection(openai(fleet).chat.completions.create(CHAT), InternalServerError);
  assert.equal(error.status, 503);
  assert.equal(error.code, 'no_worker_available');
  assert.ok(error.headers.get('retry-after'));
});

const BROKEN_BEFORE = [
  ['closes', 'close', 502, 'worker_closed'],
  ['resets', 'reset', 502, 'worker_closed'],
  ['answers with something that is not HTTP', 'garbage', 502, 'worker_bad_response'],
  ['sends the head and then closes', 'close:after=0', 502, 'worker_closed'],
] as const;

for (const [what, fault, status, code] of BROKEN_BEFORE) {
  test(`a worker that ${what} before its answer is an InternalServerError`, async () => {
    await using fleet = await startFleet({ workers: [{ faults: [fault] }], router: NO_RETRIES });
    for (const body of [CHAT, STREAM]) {
      const error = await rejection(openai(fleet).chat.completions.create(body), InternalServerError);
      assert.equal(error.status, status);
      assert.equal(error.code, code);
      assert.ok(error.requestID);
    }
  });
}

test('a worker that is gone is an InternalServerError that keeps its address to itself', async () => {
  await using fleet = await startFleet({ workers: [{}], router: NO_RETRIES });
  const [worker] = fleet.workers;
  await worker!.setFaults(['refuse']);
  const error = await rejection(openai(fleet).chat.completions.create(CHAT), InternalServerError);
  assert.deepEqual([error.status, error.code], [502, 'connect_failed']);
  assert.match(error.message, /no connection to the worker could be made/);
  assert.ok(!error.message.includes(String(worker!.port)));
});

test('a worker that breaks before its answer is replaced, and the caller notices nothing', async () => {
  await using fleet = await startFleet({
    workers: [{ faults: ['reset:after=0'] }, {}],
    router: { retry: { initialBackoffMs: 1 }, policy: 'round_robin' },
  });
  for (let round = 0; round < 2; round += 1) {
    const chunks = await collect(await openai(fleet).chat.completions.create(STREAM));
    assert.equal(chunks.at(-1)?.choices[0]?.finish_reason, 'length');
  }
  assert.ok((await fleet.decision(({ attempts }) => attempts.length === 2)).outcome === 'ok');
});

const BROKEN_STREAMS = [
  ['closes its connection', 'close:after=3'],
  ['resets its connection', 'reset:after=3'],
  ['closes in the middle of an event', 'close:after=3,partial=true'],
  ['resets in the middle of an event', 'reset:after=3,partial=true'],
] as const;

for (const [what, fault] of BROKEN_STREAMS) {
  test(`a stream whose worker ${what} ends in an error, never as a short answer`, async () => {
    await using fleet = await startFleet({ workers: [{ ...STEADY, faults: [fault] }] });
    const stream = await openai(fleet).chat.completions.create(LONG_STREAM);
    const error = await rejection(collect(stream), Error);
    if (!fault.includes('partial')) {
      assert.ok(error instanceof APIError);
      assert.equal(error.code, 'worker_closed');
    }
    const decision = await fleet.decision();
    assert.equal(decision.outcome, 'worker_broken');
    assert.equal(decision.error, 'worker_closed');
  });
}

test('the stream helper fails too when the stream breaks', async () => {
  await using fleet = await startFleet({ workers: [{ ...STEADY, faults: ['close:after=3'] }] });
  const runner = openai(fleet).chat.completions.stream(LONG);
  const error = await rejection(runner.finalChatCompletion(), Error);
  assert.match(error.message, /closed the connection/);
});

test('a stream that goes silent ends in an error', async () => {
  await using fleet = await startFleet({
    workers: [{ ...STEADY, faults: ['hang:after=3'] }],
    router: { streamIdleTimeoutSecs: 0.1 },
  });
  const stream = await openai(fleet).chat.completions.create(LONG_STREAM);
  const error = await rejection(collect(stream), APIError);
  assert.equal(error.code, 'stream_idle_timeout');
});

test('an error that the engine tells in its stream is passed on', async () => {
  await using fleet = await startFleet({ workers: [{ ...STEADY, faults: ['error_event:after=3'] }] });
  const stream = await openai(fleet).chat.completions.create(LONG_STREAM);
  const error = await rejection(collect(stream), APIError);
  assert.match(error.message, /simulated engine failure/);
});

for (const [what, fault] of [
  ['is cut short', 'close:after=1'],
  ['is shorter than promised', 'length:by=10'],
  ['has neither length nor chunking and ends early', 'no_framing'],
] as const) {
  test(`an answer that ${what} is an error, not a short answer`, async () => {
    const faults = fault === 'no_framing' ? [fault, 'close:after=1'] : [fault];
    await using fleet = await startFleet({ workers: [{ faults }], router: NO_RETRIES });
    await rejection(openai(fleet).chat.completions.create(CHAT), Error);
    assert.equal((await fleet.decision()).outcome, 'worker_broken');
  });
}

test('the client’s own timeout is an APIConnectionTimeoutError, and the worker is told', async () => {
  await using fleet = await startFleet({ workers: [{ faults: ['hang'] }] });
  const aborted = fleet.workers[0]!.next('aborted');
  const request = openai(fleet, { timeout: 100 }).chat.completions.create(CHAT);
  await Promise.all([rejection(request, APIConnectionTimeoutError), aborted]);
});

test('the router’s timeouts are InternalServerErrors with status 504', async () => {
  const worker = { faults: ['hang'] };
  await using first = await startFleet({
    workers: [worker],
    router: { ...NO_RETRIES, firstTokenTimeoutSecs: 0.1 },
  });
  const noToken = await rejection(openai(first).chat.completions.create(STREAM), InternalServerError);
  assert.deepEqual([noToken.status, noToken.code], [504, 'first_token_timeout']);
  await using whole = await startFleet({ workers: [worker], router: { requestTimeoutSecs: 0.1 } });
  const late = await rejection(openai(whole).chat.completions.create(CHAT), InternalServerError);
  assert.deepEqual([late.status, late.code], [504, 'deadline_exceeded']);
});

test('a router that is not there is an APIConnectionError', async () => {
  const fleet = await startFleet();
  await fleet.stop();
  await rejection(openai(fleet).chat.completions.create(CHAT), APIConnectionError);
});
