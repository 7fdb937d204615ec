/** A WebSocket handshake is passed on, and after it the two ends talk to each other. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { test } from 'node:test';
import { eventually } from '../support/fleet.ts';
import { headerValue, RawClient } from '../support/raw-client.ts';
import { startRouter, startScriptedWorker, valuesOf } from '../support/scripted-worker.ts';

const HANDSHAKE = [
  'GET /v1/realtime?model=sim-model HTTP/1.1',
  'Host: router',
  'Connection: keep-alive, Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
  'Sec-WebSocket-Protocol: realtime',
  '',
  '',
].join('\r\n');

const ACCEPTED =
  'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: realtime\r\n\r\n';

/** A router with one worker; the worker's end of the tunnel comes with the first handshake. */
async function start(greeting = '') {
  const { promise: workerEnd, resolve } = Promise.withResolvers<{
    request: IncomingMessage;
    socket: Duplex;
  }>();
  const worker = await startScriptedWorker(undefined, {
    onUpgrade: (request, socket) => {
      socket.write(ACCEPTED + greeting);
      resolve({ request, socket });
    },
  });
  const fleet = await startRouter([worker]);
  const client = await RawClient.connect(fleet.port);
  return {
    worker,
    fleet,
    client,
    workerEnd,
    async [Symbol.asyncDispose]() {
      await client[Symbol.asyncDispose]();
      await fleet[Symbol.asyncDispose]();
      await worker[Symbol.asyncDispose]();
    },
  };
}

async function nextData(socket: Duplex): Promise<string> {
  const [data] = (await once(socket, 'data')) as [Buffer];
  return data.toString('latin1');
}

test('the handshake arrives whole, its answer comes back whole', async () => {
  await using tunnel = await start();
  const { client, fleet, worker } = tunnel;
  client.send(HANDSHAKE);
  const { request } = await tunnel.workerEnd;
  assert.equal(request.url, '/v1/realtime?model=sim-model');
  for (const [name, value] of [
    ['upgrade', 'websocket'],
    ['sec-websocket-version', '13'],
    ['sec-websocket-key', 'dGhlIHNhbXBsZSBub25jZQ=='],
    ['sec-websocket-protocol', 'realtime'],
    ['host', new URL(worker.url).host],
  ] as const) {
    assert.deepEqual(valuesOf(request.rawHeaders, name), [value]);
  }
  const { status, statusText, headers } = await client.response({ interim: true });
  assert.deepEqual([status, statusText], [101, 'Switching Protocols']);
  assert.equal(headerValue(headers, 'connection')?.toLowerCase(), 'upgrade');
  assert.equal(headerValue(headers, 'upgrade'), 'websocket');
  assert.equal(headerValue(headers, 'sec-websocket-accept'), 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=');
  assert.equal(headerValue(headers, 'sec-websocket-protocol'), 'realtime');
  assert.equal(headerValue(headers, 'x-vllm-router-worker'), worker.url);
  assert.ok(headerValue(headers, 'x-request-id'));
  assert.equal(fleet.app.runtime.ledger.openLeases, 1);
  assert.equal(fleet.app.runtime.admission.inFlight, 1);
});

test('bytes go both ways as they are, also those sent along with the handshake', async () => {
  await using tunnel = await start('greeting');
  const { client } = tunnel;
  client.send(`${HANDSHAKE}\x81\x85early`);
  const { socket } = await tunnel.workerEnd;
  assert.equal(await nextData(socket), '\x81\x85early');
  assert.equal((await client.response({ interim: true })).status, 101);
  assert.equal((await client.bytes(8)).toString(), 'greeting');
  const bytes = Buffer.from(Array.from({ length: 200_000 }, (_, index) => index & 0xff));
  socket.on('data', (data: Buffer) => socket.write(data));
  client.send(bytes);
  assert.ok((await client.bytes(bytes.length)).equals(bytes));
});

test('when the client closes, the worker is told, and everything comes back', async () => {
  await using tunnel = await start();
  const { client, fleet } = tunnel;
  client.send(HANDSHAKE);
  const { socket } = await tunnel.workerEnd;
  await client.response({ interim: true });
  client.send('last words');
  assert.equal(await nextData(socket), 'last words');
  const ended = once(socket.resume(), 'end');
  client.socket.end();
  await ended;
  socket.end();
  assert.equal((await client.ended()).how, 'closed');
  const decision = await fleet.decision();
  assert.deepEqual([decision.status, decision.outcome], [101, 'ok']);
  assert.equal(decision.request_bytes, 10);
  assert.equal(fleet.app.runtime.ledger.openLeases, 0);
});

test('when the worker closes, what it said before still arrives', async () => {
  await using tunnel = await start();
  const { client, fleet } = tunnel;
  client.send(HANDSHAKE);
  const { socket } = await tunnel.workerEnd;
  await client.response({ interim: true });
  socket.end('goodbye');
  const { how, rest } = await client.ended();
  assert.deepEqual([how, rest.toString()], ['closed', 'goodbye']);
  client.socket.end();
  assert.equal((await fleet.decision()).response_bytes, 7);
});

test('when the client is gone without a word, the worker’s end is cut', async () => {
  await using tunnel = await start();
  const { client, fleet } = tunnel;
  client.send(HANDSHAKE);
  const { socket } = await tunnel.workerEnd;
  await client.response({ interim: true });
  const closed = once(socket.resume(), 'close');
  socket.on('end', () => socket.end());
  client.socket.resetAndDestroy();
  await closed;
  await eventually(() => fleet.app.runtime.ledger.openLeases === 0);
});

test('a refused handshake is an answer like any other', async () => {
  await using worker = await startScriptedWorker((response) => {
    response.writeHead(403, { 'content-type': 'application/json', 'x-why': 'because' }).end('{"error":"no"}');
  });
  await using fleet = await startRouter([worker]);
  await using client = await RawClient.connect(fleet.port);
  client.send(HANDSHAKE);
  const response = await client.response();
  assert.deepEqual([response.status, response.body.toString()], [403, '{"error":"no"}']);
  assert.equal(headerValue(response.headers, 'x-why'), 'because');
  assert.equal((await client.ended()).how, 'closed');
  assert.equal((await fleet.decision()).status, 403);
});

test('what the router refuses or answers itself is answered on the handshake too', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker]);
  for (const [path, status] of [
    ['/admin/socket', 404],
    ['/metrics', 404],
    ['/liveness', 200],
  ] as const) {
    await using client = await RawClient.connect(fleet.port);
    client.send(HANDSHAKE.replace('/v1/realtime?model=sim-model', path));
    assert.equal((await client.response()).status, status);
    assert.equal((await client.ended()).how, 'closed');
  }
  assert.equal(worker.received.length, 0);
});

for (const token of ['h2c', 'TLS/1.0', 'HTTP/3', 'websocket, h2c']) {
  test(`Upgrade: ${token} is served as HTTP/1.1`, async () => {
    await using worker = await startScriptedWorker();
    await using fleet = await startRouter([worker]);
    await using client = await RawClient.connect(fleet.port);
    for (const [method, body] of [
      ['GET', ''],
      ['POST', 'body'],
      ['GET', ''],
    ] as const) {
      client.send(
        `${method} /x HTTP/1.1\r\nHost: r\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: ${token}\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      );
      assert.equal((await client.response()).status, 200);
      assert.deepEqual([worker.last.method, worker.last.body.toString()], [method, body]);
      for (const gone of ['upgrade', 'http2-settings']) assert.equal(worker.last.headers[gone], undefined);
    }
  });
}

test('HTTP/1.0 knows no handshake: it is a request like any other', async () => {
  await using worker = await startScriptedWorker((response) => response.end('plain'));
  await using fleet = await startRouter([worker]);
  await using client = await RawClient.connect(fleet.port);
  client.send(HANDSHAKE.replace('HTTP/1.1', 'HTTP/1.0'));
  assert.equal((await client.response()).body.toString(), 'plain');
  assert.deepEqual(valuesOf(worker.last.rawHeaders, 'upgrade'), []);
});

test('only a GET without a body is a handshake', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker]);
  await using client = await RawClient.connect(fleet.port);
  for (const [method, body] of [
    ['POST', '{"a":1}'],
    ['POST', ''],
    ['GET', '{"a":1}'],
  ] as const) {
    client.send(
      `${method} /x HTTP/1.1\r\nHost: r\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    assert.equal((await client.response()).status, 200);
    assert.deepEqual([worker.last.method, worker.last.body.toString()], [method, body]);
    assert.equal(worker.last.headers.upgrade, undefined);
  }
});
