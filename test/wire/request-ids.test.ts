/** One id for a request, in the client's answer, at the worker and in the record. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startFleet, type Fleet } from '../support/fleet.ts';
import { ask, headerValue } from '../support/raw-client.ts';
import { startRouter, startScriptedWorker, valuesOf } from '../support/scripted-worker.ts';

async function idOf(fleet: Fleet, path: string, headers = ''): Promise<string | undefined> {
  const response = await ask(
    fleet.port,
    `POST ${path} HTTP/1.1\r\nHost: r\r\nContent-Length: 2\r\n${headers}\r\n{}`,
  );
  return headerValue(response.headers, 'x-request-id');
}

// Engines put `chatcmpl-`, `resp_`, `embd-`, ... before it.
const OURS = /^req-[A-Za-z0-9]{24}$/;
for (const path of [
  ...['/v1/chat/completions', '/v1/completions', '/v1/responses', '/v1/embeddings', '/v1/messages'],
  ...['/generate', '/inference/v1/generate', '/v1/rerank', '/unknown'],
]) {
  test(`made for ${path}, and sent to the worker`, async () => {
    await using worker = await startScriptedWorker();
    await using fleet = await startRouter([worker]);
    const id = await idOf(fleet, path);
    assert.match(id ?? '', OURS);
    assert.deepEqual(valuesOf(worker.last.rawHeaders, 'x-request-id'), [id]);
    assert.equal((await fleet.decision()).request_id, id);
    assert.notEqual(await idOf(fleet, path), id);
  });
}

test('made for a chat: the engine’s own prefix stands before it once', async () => {
  await using fleet = await startFleet();
  const answer = await fetch(`${fleet.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ messages: [{ role: 'user', content: 'a' }], max_tokens: 1 }),
  });
  const { id } = (await answer.json()) as { id: string };
  assert.equal(id, `chatcmpl-${answer.headers.get('x-request-id') ?? ''}`);
  assert.match(id, /^chatcmpl-req-[A-Za-z0-9]{24}$/);
});

test('taken from the first configured header that is there, in the order of the configuration', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker]);
  const all = 'Request-Id: four\r\nX-Trace-Id: three\r\nX-Correlation-Id: two\r\nX-Request-Id: one\r\n';
  assert.equal(await idOf(fleet, '/x', all), 'one');
  assert.equal(await idOf(fleet, '/x', all.replace('X-Request-Id: one\r\n', '')), 'two');
  assert.equal(await idOf(fleet, '/x', 'Request-Id: four\r\nX-Trace-Id: three\r\n'), 'three');
  assert.equal(await idOf(fleet, '/x', 'request-ID: four\r\n'), 'four');
  // The worker knows it under the name that vLLM reads, and under the client's.
  assert.deepEqual(valuesOf(worker.last.rawHeaders, 'x-request-id'), ['four']);
  assert.deepEqual(valuesOf(worker.last.rawHeaders, 'request-id'), ['four']);
});

test('an empty one is none', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker]);
  assert.equal(await idOf(fleet, '/x', 'X-Request-Id: \r\nX-Trace-Id: t\r\n'), 't');
  assert.deepEqual(valuesOf(worker.last.rawHeaders, 'x-request-id'), ['t']);
});

test('other headers can be configured', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker], {
    router: { requestIdHeaders: ['X-Job', 'X-Request-Id'] },
  });
  assert.equal(await idOf(fleet, '/x', 'X-Correlation-Id: no\r\nX-Job: job-7\r\n'), 'job-7');
  assert.match((await idOf(fleet, '/x', 'X-Correlation-Id: no\r\n')) ?? '', /^req-/);
});

test('on errors and on the router’s own answers as well', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker]);
  for (const path of ['/sleep', '/health', '/v1/models']) {
    const response = await fetch(fleet.url + path, { headers: { 'x-request-id': `id-of ${path}` } });
    assert.equal(response.headers.get('x-request-id'), `id-of ${path}`);
  }
});
