/** After the first byte there is no second chance and no second status: the client must see that something is missing. */
import assert from 'node:assert/strict';
import { gzipSync } from 'node:zlib';
import { test } from 'node:test';
import { chat, post, readBody, streamChat, type ReadBody } from '../support/chat.ts';
import { answering, answeringWorkers } from '../support/fleet-shape.ts';
import { startFleet, type Fleet, type FleetOptions } from '../support/fleet.ts';
import { scrape } from '../support/metrics.ts';
import { startScriptedWorker } from '../support/scripted-worker.ts';

/** One worker with this fault, asked for a stream. */
async function brokenStream(
  fault: string,
  path = '/v1/chat/completions',
  options: Pick<FleetOptions, 'onlyRegular'> = {},
): Promise<ReadBody & { fleet: Fleet }> {
  const fleet = await startFleet({ workers: [{ faults: [fault] }], ...options });
  const prompt = path.endsWith('/completions') && !path.includes('chat') ? { prompt: 'hello' } : {};
  const body = {
    model: 'sim-model',
    messages: [{ role: 'user', content: 'hello' }],
    // A busy machine makes one event of many tokens: there must be enough for the fault to come before the end.
    max_tokens: 4000,
    ...prompt,
  };
  const response = await post(fleet, path, { ...body, stream: true });
  assert.equal(response.status, 200);
  return { ...(await readBody(response)), fleet };
}

async function assertBrokenOnTheBooks(fleet: Fleet, code = 'worker_closed'): Promise<void> {
  const decision = await fleet.decision();
  const { status, outcome, error, worker } = decision;
  assert.deepEqual({ status, outcome, error }, { status: 200, outcome: 'worker_broken', error: code });
  assert.deepEqual(
    answering(decision).map((attempt) => [attempt.status, attempt.error]),
    [[200, code]],
  );
  const metrics = await scrape(fleet);
  assert.equal(metrics.value('vllm_router_broken_streams_total', { worker: worker! }), 1);
  assert.equal(metrics.sum('vllm_router_cb_outcomes_total', { outcome: 'failure' }), 1);
  assert.equal(metrics.value('vllm_router_cb_outcomes_total', { outcome: 'success', worker: worker! }), 0);
}

for (const fault of ['reset:after=2', 'close:after=2']) {
  for (const path of ['/v1/chat/completions', '/v1/completions']) {
    test(`${path}, ${fault}: an error event in OpenAI's shape, never [DONE]`, async () => {
      const { fleet, text, whole } = await brokenStream(fault, path);
      await using _fleet = fleet;
      assert.ok(whole, 'the stream itself ends properly');
      const events = text.split('\n\n');
      assert.equal(events.pop(), '');
      // A reset may overtake what was sent right before it.
      assert.ok(events.length === 3 || (events.length === 2 && fault.startsWith('reset')), text);
      const last = JSON.parse(events.at(-1)!.slice('data: '.length)) as { error: Record<string, unknown> };
      assert.equal(last.error['code'], 'worker_closed');
      assert.equal(last.error['type'], 'server_error');
      assert.doesNotMatch(text, /\[DONE\]/);
      await assertBrokenOnTheBooks(fleet);
    });
  }
}

test("/v1/messages: an error event in Anthropic's shape", async () => {
  const { fleet, text, whole } = await brokenStream('reset:after=2', '/v1/messages');
  await using _fleet = fleet;
  assert.ok(whole);
  const last = text.split('\n\n').at(-2) ?? '';
  const [name, data] = last.split('\n');
  assert.equal(name, 'event: error');
  const { type, error } = JSON.parse(data!.slice('data: '.length)) as {
    type: string;
    error: { type: string };
  };
  assert.equal(type, 'error');
  assert.equal(error.type, 'api_error');
  assert.doesNotMatch(text, /message_stop/);
  await assertBrokenOnTheBooks(fleet);
});

test('within an event nothing can be added: the connection is cut', async () => {
  const { fleet, text, whole } = await brokenStream('reset:after=2,partial=true', undefined, {
    onlyRegular: 'an answer of a pair is edited, and no part of an event leaves then',
  });
  await using _fleet = fleet;
  assert.ok(!whole);
  assert.doesNotMatch(text, /worker_closed/);
  await assertBrokenOnTheBooks(fleet);
});

/** How workers tell in a stream that their answer has failed, and what may follow. */
const FAILED = '{"error":{"message":"EngineCore died","type":"InternalServerError","param":null,"code":500}}';
const ERROR_EVENTS: readonly (readonly [what: string, path: string, events: string])[] = [
  ['and [DONE]', '/v1/chat/completions', `data: {"choices":[]}\n\ndata: ${FAILED}\n\ndata: [DONE]\n\n`],
  ['as the first event', '/v1/completions', `data: ${FAILED}\n\ndata: [DONE]\n\n`],
  ['with spaces', '/v1/completions', `data:{ "error" : {"code":500}}\n\ndata: [DONE]\n\n`],
  ['of an older server', '/v1/completions', 'data: {"object":"error","message":"x"}\n\ndata: [DONE]\n\n'],
  ['that ends with CRLF', '/v1/completions', `: hi\r\n\r\ndata: ${FAILED}\r\n\r\ndata: [DONE]\r\n\r\n`],
  ['that ends with CR', '/v1/completions', `data: {}\r\rdata: ${FAILED}\r\rdata: [DONE]\r\r`],
  ['behind a byte order mark', '/v1/completions', `\ufeffdata: ${FAILED}\n\ndata: [DONE]\n\n`],
  [
    'in the messages API',
    '/v1/messages',
    'event: message_start\ndata: {"type":"message_start"}\n\nevent: error\ndata: {"type":"error","error":{"type":"internal_error","message":"x"}}\n\n',
  ],
  [
    'in the messages API, and message_stop',
    '/v1/messages',
    'event: error\ndata: {"type":"error"}\n\nevent: message_stop\ndata: {"type":"message_stop"}\n\n',
  ],
  ['without a name', '/v1/messages', 'data: {"type":"error","error":{"type":"api_error"}}\n\n'],
  [
    'of the responses API',
    '/v1/responses',
    'event: response.failed\ndata: {"response":{"id":"resp_1","status":"failed"},"type":"response.failed"}\n\n',
  ],
  ['of the responses API, short', '/v1/responses', 'event: error\ndata: {"type":"error","code":"500"}\n\n'],
];

for (const [what, path, events] of ERROR_EVENTS) {
  for (const cut of [false, true]) {
    test(`an error event ${what} is a broken answer${cut ? ', byte by byte' : ''}, and passes as it is`, async () => {
      await using worker = await startScriptedWorker((response) => {
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        if (cut) for (const byte of Buffer.from(events)) response.write(Buffer.of(byte));
        response.end(cut ? undefined : events);
      });
      await using fleet = await startFleet({ workers: [], extraWorkerUrls: [worker.url] });
      const fields = {
        model: 'sim-model',
        messages: [],
        prompt: 'x',
        input: 'x',
        max_tokens: 4,
        stream: true,
      };
      const response = await post(fleet, path, fields);
      const bytes = Buffer.from(await response.arrayBuffer());
      assert.equal(bytes.toString(), events);
      await assertBrokenOnTheBooks(fleet, 'worker_error_event');
    });
  }
}

test('whatever follows an error event, the client is told once', async () => {
  const event = `data: ${FAILED}\n\n`;
  await using worker = await startScriptedWorker((response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(event, () => response.socket?.resetAndDestroy());
  });
  await using fleet = await startFleet({ workers: [], extraWorkerUrls: [worker.url] });
  assert.deepEqual(await readBody(await streamChat(fleet)), { text: event, whole: true });
  await assertBrokenOnTheBooks(fleet, 'worker_error_event');
});

for (const event of [
  'data: {"choices":[{"delta":{"content":"{\\"error\\": 1}"}}]}\n\n',
  'data: {"error":null,"choices":[]}\n\n',
  'event: response.incomplete\ndata: {"response":{"error":null,"status":"incomplete"}}\n\n',
  ': data: {"error":{}}\n\n',
]) {
  test(`is no failure: ${JSON.stringify(event)}`, async () => {
    await using worker = await startScriptedWorker((response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).end(`${event}data: [DONE]\n\n`);
    });
    await using fleet = await startFleet({ workers: [], extraWorkerUrls: [worker.url] });
    await (await streamChat(fleet)).text();
    const { outcome, error } = await fleet.decision();
    assert.deepEqual([outcome, error], ['ok', undefined]);
  });
}

test('a worker whose engine dies in every stream is taken out', async () => {
  await using fleet = await startFleet({
    workers: [{ faults: ['error_event:after=2'] }],
    router: { circuitBreaker: { failureThreshold: 3 } },
  });
  for (let i = 0; i < 3; i += 1) {
    const { text, whole } = await readBody(await streamChat(fleet, { max_tokens: 40 }));
    assert.ok(whole);
    assert.match(text, /simulated engine failure/);
    assert.match(text, /data: \[DONE\]\n\n$/);
  }
  const metrics = await scrape(fleet);
  assert.equal(metrics.sum('vllm_router_cb_outcomes_total', { outcome: 'failure' }), 3);
  const [{ id: worker, breaker } = assert.fail()] = answeringWorkers(fleet);
  assert.equal(metrics.value('vllm_router_cb_outcomes_total', { outcome: 'success', worker }), 0);
  assert.equal(breaker.state(fleet.app.runtime.clock.now()), 'open');
});

for (const events of ['data: {}\r\r', '\ufeffdata: {}\r\n\r\n', '\ufeff: hi\r\rdata: {}\n\n']) {
  test(`an error event follows whole events, however their lines end: ${JSON.stringify(events)}`, async () => {
    await using worker = await startScriptedWorker((response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write(events, () => response.socket?.end());
    });
    await using fleet = await startFleet({ workers: [], extraWorkerUrls: [worker.url] });
    const bytes = Buffer.from(await (await streamChat(fleet)).arrayBuffer()).toString();
    assert.ok(bytes.startsWith(events), JSON.stringify(bytes));
    assert.match(bytes.slice(events.length), /^data: \{"error":.*"worker_closed"\}\}\n\n$/);
    await assertBrokenOnTheBooks(fleet);
  });
}

test('when all is said, nothing is added to it', async () => {
  await using worker = await startScriptedWorker((response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write('data: {}\n\ndata: [DONE]\n\n', () => response.socket?.resetAndDestroy());
  });
  await using fleet = await startFleet({ workers: [], extraWorkerUrls: [worker.url] });
  const body = await readBody(await streamChat(fleet));
  assert.deepEqual(body, { text: 'data: {}\n\ndata: [DONE]\n\n', whole: true });
  await assertBrokenOnTheBooks(fleet);
});

const EVENT = 'data: {"choices":[]}\n\n';
const NO_PLACE_FOR_AN_EVENT: Readonly<Record<string, { headers: string[]; body: Buffer }>> = {
  'a compressed stream': {
    headers: [
      'content-type',
      'text/event-stream',
      'content-encoding',
      'gzip',
      'transfer-encoding',
      'chunked',
    ],
    body: gzipSync(EVENT).subarray(0, 20),
  },
  'a stream with a content-length': {
    headers: ['content-type', 'text/event-stream', 'content-length', '1000'],
    body: Buffer.from(EVENT),
  },
  'a body that is no stream': {
    headers: ['content-type', 'application/json', 'transfer-encoding', 'chunked'],
    body: Buffer.from('{"choices":[\n\n'),
  },
};
for (const [what, { headers, body }] of Object.entries(NO_PLACE_FOR_AN_EVENT)) {
  test(`${what} is cut`, async () => {
    await using worker = await startScriptedWorker((response) => {
      response.writeHead(200, headers);
      response.write(body, () => response.socket?.resetAndDestroy());
    });
    await using fleet = await startFleet({ workers: [], extraWorkerUrls: [worker.url] });
    const response = await streamChat(fleet, {}, { headers: { 'accept-encoding': 'identity' } });
    assert.equal(response.status, 200);
    const { text, whole } = await readBody(response);
    assert.ok(!whole);
    assert.doesNotMatch(text, /worker_closed/);
    await assertBrokenOnTheBooks(fleet);
  });
}

test('a worker whose every stream breaks is failing, although each of them began well', async () => {
  await using fleet = await startFleet({
    workers: [{}, {}],
    router: { policy: 'round_robin', circuitBreaker: { failureThreshold: 3 } },
  });
  const [bad, good] = fleet.workers;
  await bad!.setFaults(['reset:after=2']);
  for (let turn = 0; turn < 6; turn += 1) await (await streamChat(fleet)).text();
  const metrics = await scrape(fleet);
  assert.equal(metrics.sum('vllm_router_cb_state_transitions_total', { worker: bad!.url, to: 'open' }), 1);
  for (let turn = 0; turn < 4; turn += 1) {
    const response = await chat(fleet);
    assert.equal(response.headers.get('x-vllm-router-worker'), good!.url);
    await response.json();
  }
});
