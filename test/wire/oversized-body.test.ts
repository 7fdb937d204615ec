/** A body above the limit is refused before it has been read whole. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Fleet } from '../support/fleet.ts';
import { headerValue, RawClient, type RawResponse } from '../support/raw-client.ts';
import { startRouter, startScriptedWorker } from '../support/scripted-worker.ts';

const LIMIT = 100_000;

async function start(onHead = false) {
  const worker = await startScriptedWorker(
    undefined,
    onHead ? { onHead: (request) => request.resume() } : {},
  );
  const fleet = await startRouter([worker], { router: { maxPayloadSize: LIMIT } });
  return {
    worker,
    fleet,
    async [Symbol.asyncDispose]() {
      await fleet[Symbol.asyncDispose]();
      await worker[Symbol.asyncDispose]();
    },
  };
}

function assertTooLarge(response: RawResponse): void {
  assert.equal(response.status, 413);
  const { error } = JSON.parse(response.body.toString());
  assert.equal(error.code, 'payload_too_large');
  assert.match(error.message, new RegExp(`${LIMIT} bytes`));
  assert.equal(headerValue(response.headers, 'connection'), 'close');
}

for (const path of ['/v1/chat/completions', '/unknown/upload']) {
  test(`${path}: announced too long, refused before anything of it has come`, async () => {
    await using setup = await start();
    await using client = await RawClient.connect(setup.fleet.port);
    client.send(`POST ${path} HTTP/1.1\r\nHost: r\r\nContent-Length: ${LIMIT + 1}\r\n\r\n`);
    assertTooLarge(await client.response());
    assert.equal((await client.ended()).how, 'closed');
    assert.deepEqual(setup.worker.received, []);
  });

  test(`${path}: exactly the limit is taken`, async () => {
    await using setup = await start();
    const body = `{"a":"${'x'.repeat(LIMIT - 8)}"}`;
    const response = await fetch(setup.fleet.url + path, { method: 'POST', body });
    assert.equal(response.status, 200);
    assert.equal(setup.worker.last.body.length, LIMIT);
  });
}

function chunk(bytes: number): string {
  return `${bytes.toString(16)}\r\n${'x'.repeat(bytes)}\r\n`;
}

test('chunked: refused with the byte that exceeds the limit, while the client is still sending', async () => {
  await using setup = await start();
  await using client = await RawClient.connect(setup.fleet.port);
  client.send('POST /v1/chat/completions HTTP/1.1\r\nHost: r\r\nTransfer-Encoding: chunked\r\n\r\n');
  client.send(chunk(LIMIT));
  client.send(chunk(1));
  assertTooLarge(await client.response());
  assert.deepEqual(setup.worker.received, []);
});

test('chunked and streamed to the worker: the worker’s request is cut, the client hears why', async () => {
  await using setup = await start(true);
  await using client = await RawClient.connect(setup.fleet.port);
  client.send('POST /unknown/upload HTTP/1.1\r\nHost: r\r\nTransfer-Encoding: chunked\r\n\r\n');
  client.send(chunk(LIMIT));
  client.send(chunk(1));
  assertTooLarge(await client.response());
  const decision = await setup.fleet.decision();
  assert.deepEqual([decision.error, decision.outcome], ['payload_too_large', 'rejected']);
  // That is not the worker's doing.
  assert.doesNotMatch(await setup.fleet.metrics(), /vllm_router_cb_outcomes_total\{.*outcome="failure"\}/);
});

/** Sends as fast as it may until the answer is there. */
async function flood(fleet: Fleet, head: string, piece: string): Promise<RawResponse> {
  await using client = await RawClient.connect(fleet.port);
  client.send(head);
  let answered = false;
  const response = client.response().finally(() => {
    answered = true;
  });
  const push = (): void => {
    while (!answered && client.socket.writable && client.socket.write(piece));
    if (!answered && client.socket.writable) client.socket.once('drain', push);
  };
  push();
  return await response;
}

for (const [how, head, piece] of [
  ['announced', `Content-Length: 2000000000`, 'x'.repeat(65_536)],
  ['chunked', 'Transfer-Encoding: chunked', chunk(65_536)],
] as const) {
  test(`a client that goes on sending gets the answer all the same (${how})`, async () => {
    await using setup = await start();
    for (let i = 0; i < 5; i += 1) {
      assertTooLarge(
        await flood(setup.fleet, `POST /v1/chat/completions HTTP/1.1\r\nHost: r\r\n${head}\r\n\r\n`, piece),
      );
    }
  });
}

/** Sends all of it before it looks at what came back, as simple clients do. */
async function sendThenLook(fleet: Fleet, bytes: string): Promise<RawResponse> {
  await using client = await RawClient.connect(fleet.port);
  client.socket.pause();
  await new Promise<void>((resolve, reject) => {
    client.socket.once('error', reject);
    client.socket.write(bytes, 'latin1', () => resolve());
  });
  client.socket.resume();
  return await client.response();
}

for (const [what, bytes, status] of [
  [
    'a body that is too long',
    `POST /v1/completions HTTP/1.1\r\nHost: r\r\nContent-Length: 8000000\r\n\r\n${'x'.repeat(8_000_000)}`,
    413,
  ],
  [
    'a chunked one',
    `POST /v1/completions HTTP/1.1\r\nHost: r\r\nTransfer-Encoding: chunked\r\n\r\n${chunk(8_000_000)}0\r\n\r\n`,
    413,
  ],
  [
    'one that nobody wants',
    `POST /health HTTP/1.1\r\nHost: r\r\nContent-Length: 8000000\r\n\r\n${'x'.repeat(8_000_000)}`,
    405,
  ],
  [
    'one of unclear length',
    `POST /x HTTP/1.1\r\nHost: r\r\nTransfer-Encoding: gzip, chunked\r\n\r\n${chunk(8_000_000)}0\r\n\r\n`,
    400,
  ],
  ['a head that is too long', `GET /x HTTP/1.1\r\nHost: r\r\nX: ${'x'.repeat(8_000_000)}\r\n\r\n`, 431],
] as const) {
  test(`a client that looks only when it has sent everything gets the answer: ${what}`, async () => {
    await using setup = await start();
    assert.equal((await sendThenLook(setup.fleet, bytes)).status, status);
  });
}
