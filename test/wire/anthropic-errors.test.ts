/** On Anthropic's routes the router's own errors have Anthropic's shape. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { post } from '../support/chat.ts';
import { startFleet, type Fleet } from '../support/fleet.ts';
import { startRouter, startScriptedWorker } from '../support/scripted-worker.ts';

const MESSAGES = { model: 'sim-model', max_tokens: 4, messages: [{ role: 'user', content: 'hi' }] };

async function errorOf(response: Response): Promise<{ status: number; type: string; code: string }> {
  const body = JSON.parse(await response.text());
  assert.equal(body.type, 'error');
  assert.deepEqual(Object.keys(body).sort(), ['error', 'type']);
  assert.equal(typeof body.error.message, 'string');
  return { status: response.status, type: body.error.type, code: body.error.code };
}

function raw(fleet: Fleet, body: string, path = '/v1/messages'): Promise<Response> {
  return fetch(fleet.url + path, { method: 'POST', body });
}

for (const path of ['/v1/messages', '/v1/messages/count_tokens']) {
  test(`${path}: bad JSON`, async () => {
    await using fleet = await startFleet({
      workers: [],
      router: { modelRules: [{ match: 'other', rewrite: 'sim-model' }] },
    });
    assert.deepEqual(await errorOf(await raw(fleet, '{', path)), {
      status: 400,
      type: 'invalid_request_error',
      code: 'invalid_json',
    });
  });
}

test('a body that is too large', async () => {
  await using fleet = await startFleet({ workers: [], router: { maxPayloadSize: 10 } });
  assert.deepEqual(await errorOf(await post(fleet, '/v1/messages', MESSAGES)), {
    status: 413,
    type: 'request_too_large',
    code: 'payload_too_large',
  });
});

test('no worker', async () => {
  await using fleet = await startFleet({ workers: [] });
  const response = await post(fleet, '/v1/messages', MESSAGES);
  assert.equal(response.headers.get('retry-after'), '1');
  assert.deepEqual(await errorOf(response), {
    status: 503,
    type: 'overloaded_error',
    code: 'no_worker_available',
  });
});

test('a full queue', async () => {
  await using fleet = await startFleet({
    workers: [{ faults: ['hang:after=1'] }],
    router: { maxConcurrentRequests: 1, queueSize: 0 },
  });
  const controller = new AbortController();
  const first = await post(
    fleet,
    '/v1/messages',
    { ...MESSAGES, stream: true },
    { signal: controller.signal },
  );
  const response = await post(fleet, '/v1/messages', MESSAGES);
  assert.ok(Number(response.headers.get('retry-after')) >= 1);
  assert.deepEqual(await errorOf(response), { status: 429, type: 'rate_limit_error', code: 'queue_full' });
  controller.abort();
  await first.text().catch(() => undefined);
});

test('a worker that breaks off before it answers', async () => {
  await using fleet = await startFleet({
    workers: [{ faults: ['close'] }],
    router: { disableRetries: true },
  });
  assert.deepEqual(await errorOf(await post(fleet, '/v1/messages', MESSAGES)), {
    status: 502,
    type: 'api_error',
    code: 'worker_closed',
  });
});

test('a deadline that passes', async () => {
  await using fleet = await startFleet({
    workers: [{ faults: ['hang'] }],
    router: { requestTimeoutSecs: 0.1 },
  });
  assert.deepEqual(await errorOf(await post(fleet, '/v1/messages', MESSAGES)), {
    status: 504,
    type: 'timeout_error',
    code: 'deadline_exceeded',
  });
});

test('a stream that breaks between two events ends with an error event of that dialect', async () => {
  const event = 'event: content_block_delta\ndata: {"type":"content_block_delta"}\n\n';
  await using worker = await startScriptedWorker((response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(event, () => response.socket?.destroy());
  });
  await using fleet = await startRouter([worker]);
  const text = await (await post(fleet, '/v1/messages', { ...MESSAGES, stream: true })).text();
  assert.ok(text.startsWith(event));
  const [, data = ''] = /^event: error\ndata: (.*)\n\n$/.exec(text.slice(event.length)) ?? [];
  const { type, error } = JSON.parse(data);
  assert.deepEqual([type, error.type, error.code], ['error', 'api_error', 'worker_closed']);
});

test('a worker’s own errors pass as they are', async () => {
  const body = '{"type":"error","error":{"type":"invalid_request_error","message":"no"}}';
  await using worker = await startScriptedWorker((response) =>
    response.writeHead(400, { 'content-type': 'application/json' }).end(body),
  );
  await using fleet = await startRouter([worker]);
  const response = await post(fleet, '/v1/messages', MESSAGES);
  assert.deepEqual([response.status, await response.text()], [400, body]);
});
