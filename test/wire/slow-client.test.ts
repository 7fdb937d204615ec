/** A client that takes too long to say what it wants gives its place back. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../src/base/virtual-clock.ts';
import { eventually } from '../support/fleet.ts';
import { headerValue, RawClient, type RawResponse } from '../support/raw-client.ts';
import { startRouter, startScriptedWorker } from '../support/scripted-worker.ts';

function assertTimeout(response: RawResponse): void {
  assert.equal(response.status, 408);
  assert.equal(JSON.parse(response.body.toString()).error.code, 'body_timeout');
  assert.equal(headerValue(response.headers, 'connection'), 'close');
  assert.equal(headerValue(response.headers, 'retry-after'), '1');
}

async function start(router: { headerTimeoutSecs?: number; bodyIdleTimeoutSecs?: number }) {
  const worker = await startScriptedWorker(undefined, { onHead: (request) => request.resume() });
  const fleet = await startRouter([worker], { router });
  const client = await RawClient.connect(fleet.port);
  return {
    worker,
    fleet,
    client,
    async [Symbol.asyncDispose]() {
      await client[Symbol.asyncDispose]();
      await fleet[Symbol.asyncDispose]();
      await worker[Symbol.asyncDispose]();
    },
  };
}

for (const [what, sent] of [
  ['nothing', ''],
  ['half a head', 'POST /v1/completions HTTP/1.1\r\nHost: r\r\n'],
] as const) {
  test(`slow head, ${what} has come: 408 and closed`, async () => {
    await using setup = await start({ headerTimeoutSecs: 0.1 });
    setup.client.send(sent);
    assertTimeout(await setup.client.response());
    await setup.client.ended();
  });
}

test('a head that trickles in is slow too: the limit is for the whole', async () => {
  await using setup = await start({ headerTimeoutSecs: 0.2 });
  const { client } = setup;
  client.send('GET /x HTTP/1.1\r\n');
  const trickle = setInterval(() => {
    client.send('x: y\r\n');
  }, 20);
  try {
    assertTimeout(await client.response());
  } finally {
    clearInterval(trickle);
  }
});

for (const [what, path, framing, begin] of [
  ['held', '/v1/completions', 'Content-Length: 20', '{"model"'],
  ['held and chunked', '/v1/completions', 'Transfer-Encoding: chunked', '3\r\n{"m\r\n'],
  ['of unknown kind', '/unknown', 'Content-Length: 20', 'abc'],
  ['streamed', '/unknown', 'Transfer-Encoding: chunked', '3\r\nabc\r\n'],
  ['streamed with a length', '/unknown', 'Content-Length: 5000000', 'abc'],
] as const) {
  test(`slow body, ${what}: 408, closed, nothing kept`, async () => {
    await using setup = await start({ bodyIdleTimeoutSecs: 0.1 });
    setup.client.send(`POST ${path} HTTP/1.1\r\nHost: r\r\n${framing}\r\n\r\n${begin}`);
    assertTimeout(await setup.client.response());
    await setup.client.ended();
    const decision = await setup.fleet.decision();
    assert.deepEqual([decision.status, decision.error, decision.outcome], [408, 'body_timeout', 'rejected']);
    assert.equal(setup.fleet.app.runtime.bodyBytes.held, 0);
    assert.doesNotMatch(await setup.fleet.metrics(), /vllm_router_cb_outcomes_total\{.*outcome="failure"\}/);
  });
}

test('a body may take its time as long as it goes on', async () => {
  const clock = new VirtualClock();
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker], { clock, router: { bodyIdleTimeoutSecs: 1 } });
  await using client = await RawClient.connect(fleet.port);
  const body = '{"model":"sim"}';
  client.send(`POST /v1/completions HTTP/1.1\r\nHost: r\r\nContent-Length: ${body.length}\r\n\r\n`);
  const { bodyBytes } = fleet.app.runtime;
  for (const [index, byte] of Array.from(body).entries()) {
    client.send(byte);
    if (index === body.length - 1) break;
    await eventually(() => bodyBytes.held === index + 1);
    clock.advance(999);
  }
  assert.equal((await client.response()).status, 200);
  assert.equal(worker.last.body.toString(), body);
});

test('an idle connection between two requests is not slow', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker], { router: { headerTimeoutSecs: 0.1 } });
  await using client = await RawClient.connect(fleet.port);
  client.send('GET /one HTTP/1.1\r\nHost: r\r\n\r\n');
  assert.equal((await client.response()).status, 200);
  // Nothing happens, and that is the point.
  const idleUntil = performance.now() + 350;
  await eventually(() => performance.now() > idleUntil);
  client.send('GET /two HTTP/1.1\r\nHost: r\r\n\r\n');
  assert.equal((await client.response()).status, 200);
});
