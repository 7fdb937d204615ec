/** The bodies that the router holds are bounded together, whatever each of them may be. */
import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { test } from 'node:test';
import { chat, CHAT } from '../support/chat.ts';
import { eventually } from '../support/fleet.ts';
import { ask, headerValue, RawClient } from '../support/raw-client.ts';
import { startRouter, startScriptedWorker } from '../support/scripted-worker.ts';

const SIZE = Buffer.byteLength(JSON.stringify(CHAT));

test('503 for the body that would exceed the limit; those held are served, and make room', async () => {
  const waiting: ServerResponse[] = [];
  await using worker = await startScriptedWorker((response) => waiting.push(response));
  await using fleet = await startRouter([worker], { router: { maxInflightBodyBytes: 2 * SIZE + 5 } });
  const first = chat(fleet);
  const second = chat(fleet);
  await eventually(() => waiting.length === 2);
  assert.equal(fleet.app.runtime.bodyBytes.held, 2 * SIZE);
  assert.match(await fleet.metrics(), new RegExp(`vllm_router_inflight_body_bytes ${2 * SIZE}\\n`));

  const refused = await chat(fleet);
  assert.equal(refused.status, 503);
  assert.equal(refused.headers.get('retry-after'), '1');
  assert.equal(JSON.parse(await refused.text()).error.code, 'inflight_bytes_exceeded');
  assert.equal(fleet.app.runtime.bodyBytes.held, 2 * SIZE);

  for (const response of waiting) response.end('{}');
  assert.deepEqual([(await first).status, (await second).status], [200, 200]);
  await eventually(() => fleet.app.runtime.bodyBytes.held === 0);
  const third = chat(fleet);
  await eventually(() => waiting.length === 3);
  waiting[2]?.end('{}');
  assert.equal((await third).status, 200);
});

test('bytes count as they arrive, and come back when the client leaves', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker], { router: { maxInflightBodyBytes: 1000 } });
  const { bodyBytes } = fleet.app.runtime;
  await using slow = await RawClient.connect(fleet.port);
  slow.send(`POST /v1/completions HTTP/1.1\r\nHost: r\r\nContent-Length: 5000\r\n\r\n${'x'.repeat(990)}`);
  await eventually(() => bodyBytes.held === 990);
  const response = await ask(
    fleet.port,
    `POST /v1/completions HTTP/1.1\r\nHost: r\r\nContent-Length: 20\r\n\r\n${'x'.repeat(20)}`,
  );
  assert.equal(response.status, 503);
  await slow[Symbol.asyncDispose]();
  await eventually(() => bodyBytes.held === 0);
  assert.equal((await fetch(`${fleet.url}/v1/completions`, { method: 'POST', body: '{}' })).status, 200);
});

test('a body that alone exceeds the limit is cut off while it arrives', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker], { router: { maxInflightBodyBytes: 1000 } });
  await using client = await RawClient.connect(fleet.port);
  client.send(`POST /v1/completions HTTP/1.1\r\nHost: r\r\nContent-Length: 5000\r\n\r\n${'x'.repeat(1001)}`);
  const response = await client.response();
  assert.equal(response.status, 503);
  assert.equal(headerValue(response.headers, 'connection'), 'close');
  assert.deepEqual(worker.received, []);
});

test('uploads that stream through are not held', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker], { router: { maxInflightBodyBytes: 1000 } });
  const body = Buffer.alloc(3_000_000, 1);
  assert.equal((await fetch(`${fleet.url}/upload`, { method: 'PUT', body })).status, 200);
  assert.ok(worker.last.body.equals(body));
});
