/** What one client or one worker does wrong, or an error of the router's own, is the trouble of that request alone. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { test } from 'node:test';
import { VirtualClock } from '../../src/base/virtual-clock.ts';
import { eventually } from '../support/fleet.ts';
import { ask, RawClient } from '../support/raw-client.ts';
import { startRouter, startScriptedWorker } from '../support/scripted-worker.ts';

const HANDSHAKE = [
  'GET /v1/realtime HTTP/1.1',
  'Host: r',
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
  '',
  '',
].join('\r\n');

test('a handshake sent behind a request that is not answered yet is a plain GET', async () => {
  await using worker = await startScriptedWorker(undefined, {
    onUpgrade: (_request, socket) => {
      socket.end('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
    },
  });
  await using fleet = await startRouter([worker]);
  await using client = await RawClient.connect(fleet.port);
  client.send(`GET /first HTTP/1.1\r\nHost: r\r\n\r\n${HANDSHAKE}`);
  assert.equal((await client.response()).status, 200);
  assert.equal((await client.response()).status, 200);
  assert.deepEqual(worker.received.map(({ url }) => url).sort(), ['/first', '/v1/realtime']);
  assert.equal(worker.received.find(({ url }) => url === '/v1/realtime')?.headers.upgrade, undefined);
  // On the same connection, once everything is answered, it is a handshake again.
  client.send(HANDSHAKE);
  assert.equal((await client.response()).status, 101);
});

test('a client may leave in the middle of an upload that waits for its turn', async () => {
  const { promise: first, resolve: arrived } = Promise.withResolvers<ServerResponse>();
  await using worker = await startScriptedWorker((response) => {
    arrived(response);
  });
  await using fleet = await startRouter([worker], { router: { maxConcurrentRequests: 1 } });
  const { admission } = fleet.app.runtime;
  const holder = ask(fleet.port, 'GET /holds-the-place HTTP/1.1\r\nHost: r\r\n\r\n');
  const response = await first;
  await using client = await RawClient.connect(fleet.port);
  client.send('POST /upload HTTP/1.1\r\nHost: r\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n');
  await eventually(() => admission.queued === 1);
  client.socket.resetAndDestroy();
  await eventually(() => admission.queued === 0);
  const left = await fleet.decision(({ outcome }) => outcome === 'client_abort');
  assert.deepEqual([left.status, left.error], [499, 'client_closed']);
  response.end('{}');
  assert.equal((await holder).status, 200);
});

for (const phrase of ['O\x01K', 'O\x7fK', '\x1b[31mOK']) {
  test(`a reason phrase that may not be written on is left out: ${JSON.stringify(phrase)}`, async () => {
    await using worker = await startScriptedWorker((response) => {
      response.socket?.end(`HTTP/1.1 203 ${phrase}\r\ncontent-length: 2\r\n\r\nok`);
    });
    await using fleet = await startRouter([worker]);
    const response = await ask(fleet.port, 'GET /x HTTP/1.1\r\nHost: r\r\n\r\n');
    assert.deepEqual([response.status, response.statusText, response.body.toString()], [203, '', 'ok']);
  });
}

const MADE_UP = 'a part of the thread that serves is made to throw';

test("an error of the router's own is answered, and ends what the worker is still sending", async () => {
  const { promise: closed, resolve } = Promise.withResolvers<unknown>();
  await using worker = await startScriptedWorker((response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: {}\n\n');
    resolve(once(response, 'close'));
  });
  await using fleet = await startRouter([worker], { oneThread: MADE_UP });
  const [member] = fleet.app.runtime.registry.workers;
  assert.ok(member);
  // Asked for when the head has come, where the breaker is not closed.
  Object.defineProperty(member.breaker, 'isClosed', { value: false });
  member.breaker.state = () => {
    throw new Error('made up');
  };
  const response = await ask(fleet.port, 'GET /stream HTTP/1.1\r\nHost: r\r\n\r\n');
  assert.equal(response.status, 500);
  await closed;
});

test('an error behind the last step does not end the process', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker], { oneThread: MADE_UP });
  const { decisions } = fleet.app.runtime;
  const push = decisions.push.bind(decisions);
  decisions.push = () => {
    decisions.push = push;
    throw new Error('made up');
  };
  // Its answer may be out already.
  await fetch(`${fleet.url}/a`).catch(() => undefined);
  assert.equal((await fetch(`${fleet.url}/b`)).status, 200);
});

test('a worker that does not answer the end of a tunnel with its own holds no place', async () => {
  await using worker = await startScriptedWorker(undefined, {
    onUpgrade: (_request, socket) => {
      socket.resume();
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
    },
  });
  const clock = new VirtualClock();
  await using fleet = await startRouter([worker], { clock });
  await using client = await RawClient.connect(fleet.port);
  client.send(HANDSHAKE);
  assert.equal((await client.response()).status, 101);
  const { admission, ledger } = fleet.app.runtime;
  assert.equal(admission.inFlight, 1);
  const before = clock.pending;
  client.socket.end();
  await eventually(() => clock.pending > before);
  clock.advance(5_000);
  await eventually(() => admission.inFlight === 0 && ledger.openLeases === 0);
});
