/** What a worker says before its answer is skipped: nobody asked for it, and it is no answer. */
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { chat, CHAT, streamChat } from '../support/chat.ts';
import { eventually } from '../support/fleet.ts';
import { ask, RawClient } from '../support/raw-client.ts';
import {
  answerJson,
  startRouter,
  startScriptedWorker,
  type ScriptedWorker,
} from '../support/scripted-worker.ts';

const FINAL = 'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{"ok":true}';
const EARLY = 'HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n';
const CONTINUE = 'HTTP/1.1 100 Continue\r\n\r\n';

/** A worker that writes these pieces as its answer, each in a segment of its own, and keeps the connection. */
function startSaying(...pieces: readonly string[]): Promise<ScriptedWorker> {
  return startScriptedWorker(({ socket }) => {
    if (socket) sayAll(socket, pieces);
  });
}

function sayAll(socket: Socket, [piece, ...rest]: readonly string[]): void {
  if (piece === undefined) return;
  socket.setNoDelay();
  socket.write(piece, 'latin1', () => setImmediate(() => sayAll(socket, rest)));
}

for (const [what, pieces] of [
  ['100 Continue before the answer', [CONTINUE, FINAL]],
  ['in the same segment', [CONTINUE + FINAL]],
  ['one byte at a time', [...(CONTINUE + FINAL)]],
  ['with a version of 1.0 and headers', ['HTTP/1.0 100 Go on\r\nX: 1\r\nY: 2\r\n\r\n', FINAL]],
  ['several, of several kinds', [CONTINUE, EARLY + CONTINUE, `HTTP/1.1 102 Processing\r\n\r\n${FINAL}`]],
  ['of kinds that nobody knows', ['HTTP/1.1 199 Whatever\r\n\r\n', FINAL]],
] as const) {
  test(`skipped: ${what}`, async () => {
    await using worker = await startSaying(...pieces);
    await using fleet = await startRouter([worker]);
    const response = await chat(fleet);
    assert.deepEqual([response.status, await response.text()], [200, '{"ok":true}']);
    assert.equal((await fleet.decision()).attempts.length, 1);
    assert.equal(worker.received.length, 1);
  });
}

test('skipped before every answer of a connection, to HEAD as well', async () => {
  await using worker = await startScriptedWorker((response) => {
    response.writeContinue();
    response.writeProcessing();
    answerJson(response);
  });
  await using fleet = await startRouter([worker]);
  const before = worker.connections;
  for (let turn = 0; turn < 3; turn += 1) {
    const { status, body } = await ask(fleet.port, 'GET /x HTTP/1.1\r\nHost: r\r\n\r\n');
    assert.deepEqual([status, body.toString()], [200, '{"ok":true}']);
    assert.equal((await ask(fleet.port, 'HEAD /x HTTP/1.1\r\nHost: r\r\n\r\n', 'HEAD')).status, 200);
  }
  assert.equal(worker.received.length, 6);
  // Connections are kept: how many there are is the pool's business.
  assert.ok(worker.connections - before < 6, String(worker.connections - before));
});

test('skipped: between a stream’s request and its events, none of which is looked at', async () => {
  const events = `data: HTTP/1.1 100 Continue\r\n\r\n`;
  const head = 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n';
  // A piece of a body that looks like an interim answer is a piece of a body.
  const chunk = `19\r\n${CONTINUE}\r\n`;
  const first = `${events.length.toString(16)}\r\n${events}\r\n`;
  await using worker = await startSaying(EARLY, head + first, chunk, '0\r\n\r\n');
  await using fleet = await startRouter([worker]);
  const response = await streamChat(fleet);
  assert.equal(await response.text(), events + CONTINUE);
});

test('skipped: while the body of an upload is still on its way', async () => {
  await using worker = await startScriptedWorker(undefined, {
    onHead: (request, response) => {
      response.writeContinue();
      request.resume().on('end', () => response.end('whole'));
    },
  });
  await using fleet = await startRouter([worker]);
  await using client = await RawClient.connect(fleet.port);
  client.send('POST /upload HTTP/1.1\r\nHost: r\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n');
  client.send('0\r\n\r\n');
  const response = await client.response();
  assert.deepEqual([response.status, response.body.toString()], [200, 'whole']);
});

test('not skipped for ever: more than a head may hold is a broken answer', async () => {
  await using worker = await startSaying(
    `HTTP/1.1 103 Early Hints\r\nLink: ${'x'.repeat(40_000)}\r\n\r\n${FINAL}`,
  );
  await using fleet = await startRouter([worker], { router: { disableRetries: true } });
  assert.equal((await chat(fleet)).status, 502);
});

test('not taken for an answer: what dies after it is not sent again behind the retries’ back', async () => {
  let answers = 0;
  await using worker = await startScriptedWorker((response) => {
    answers += 1;
    if (answers === 1) response.end('{}');
    else response.socket?.write(CONTINUE, () => response.socket?.destroy());
  });
  await using fleet = await startRouter([worker], { router: { disableRetries: true } });
  assert.equal((await chat(fleet)).status, 200);
  // On the kept-alive connection: a death without a byte would have been an idle close.
  assert.equal((await chat(fleet)).status, 502);
  assert.equal(worker.received.length, 2);
});

test('a handshake may have one before its 101', async () => {
  await using worker = await startScriptedWorker(undefined, {
    onUpgrade: (_request, socket) => {
      socket.write(CONTINUE + EARLY);
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n');
      socket.write('Content-Length: 5\r\n\r\nhello');
      socket.pipe(socket);
    },
  });
  await using fleet = await startRouter([worker]);
  await using client = await RawClient.connect(fleet.port);
  client.send(
    'GET /v1/realtime HTTP/1.1\r\nHost: r\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
      'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
  );
  const response = await client.response();
  assert.equal(response.status, 101);
  assert.ok(!response.headers.some(([name]) => name.toLowerCase() === 'content-length'));
  client.send(` ${CONTINUE}`);
  assert.equal((await client.bytes(6 + CONTINUE.length)).toString(), `hello ${CONTINUE}`);
});

test('a client’s own `Expect: 100-continue` is answered once', async () => {
  await using worker = await startSaying(CONTINUE, FINAL);
  await using fleet = await startRouter([worker]);
  await using client = await RawClient.connect(fleet.port);
  const body = JSON.stringify(CHAT);
  client.send(
    `POST /v1/chat/completions HTTP/1.1\r\nHost: r\r\nExpect: 100-continue\r\nContent-Length: ${body.length}\r\n\r\n`,
  );
  assert.equal((await client.response({ interim: true })).status, 100);
  client.send(body);
  assert.equal((await client.response({ interim: true })).status, 200);
  await eventually(() => worker.received.length === 1);
});
