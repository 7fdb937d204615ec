/** A client of the last century: no chunking, and the end of the connection is the end of the body. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Fleet } from '../support/fleet.ts';
import { headerValue, RawClient } from '../support/raw-client.ts';
import { startRouter, startScriptedWorker, type ScriptedWorker } from '../support/scripted-worker.ts';
import { certificateFiles } from '../support/tls.ts';

let worker: ScriptedWorker;
let fleet: Fleet;

before(async () => {
  worker = await startScriptedWorker();
  fleet = await startRouter([worker]);
});

after(async () => {
  await fleet.stop();
  await worker[Symbol.asyncDispose]();
});

test('a body of known length, then the connection closes', async () => {
  worker.answer = (response) => response.writeHead(200, { 'content-length': 2 }).end('ok');
  await using client = await RawClient.connect(fleet.port);
  client.send('POST /v1/completions HTTP/1.0\r\nContent-Length: 21\r\n\r\n{"model":"sim-model"}');
  const response = await client.response();
  assert.deepEqual([response.status, response.body.toString()], [200, 'ok']);
  assert.equal(headerValue(response.headers, 'content-length'), '2');
  assert.deepEqual(await client.ended(), { how: 'closed', rest: Buffer.alloc(0) });
  assert.equal(worker.last.body.toString(), '{"model":"sim-model"}');
});

test('a stream comes without chunking and ends with the connection', async () => {
  const events = ['data: {"n":1}\n\n', 'data: {"n":2}\n\n', 'data: [DONE]\n\n'];
  worker.answer = (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    for (const event of events) response.write(event);
    response.end();
  };
  await using client = await RawClient.connect(fleet.port);
  client.send('GET /stream HTTP/1.0\r\n\r\n');
  const response = await client.response();
  assert.equal(headerValue(response.headers, 'transfer-encoding'), undefined);
  assert.equal(response.body.toString(), events.join(''));
  assert.equal((await client.ended()).how, 'closed');
});

test('keep-alive when it is asked for and the length is known', async () => {
  worker.answer = (response) => response.writeHead(200, { 'content-length': 2 }).end('ok');
  await using client = await RawClient.connect(fleet.port);
  for (let i = 0; i < 2; i += 1) {
    client.send('GET /again HTTP/1.0\r\nConnection: keep-alive\r\n\r\n');
    const response = await client.response();
    assert.equal(headerValue(response.headers, 'connection'), 'keep-alive');
    assert.equal(response.body.toString(), 'ok');
  }
});

test('a worker that breaks off in the middle: a reset, for a clean end would pass for the whole', async () => {
  worker.answer = (response) => {
    response.writeHead(200, { 'content-type': 'text/plain' });
    response.write('half of the', () => response.socket?.destroy());
  };
  await using client = await RawClient.connect(fleet.port);
  client.send('GET /broken HTTP/1.0\r\nX-Request-Id: broken\r\n\r\n');
  await client.seen(/200 OK/);
  assert.equal((await client.ended()).how, 'reset');
  assert.equal((await fleet.decision(({ request_id: id }) => id === 'broken')).outcome, 'worker_broken');
});

test('the same over TLS, which knows no reset: that is below it', async () => {
  worker.answer = (response, { url }) => {
    response.writeHead(200, { 'content-type': 'text/plain' });
    if (url === '/broken') response.write('half of the', () => response.socket?.destroy());
    else response.end('whole');
  };
  using files = certificateFiles();
  await using secure = await startRouter([worker], { router: files.listener });
  // As curl offers it.
  const options = { ca: files.ca.cert, ALPNProtocols: ['http/1.0'] };
  await using other = await RawClient.connectTls(secure.port, options);
  await using client = await RawClient.connectTls(secure.port, options);
  client.send('GET /broken HTTP/1.0\r\n\r\n');
  const { how, rest } = await client.ended();
  assert.match(rest.toString(), /half of the$/);
  assert.equal(how, 'reset');
  assert.equal((await secure.decision()).outcome, 'worker_broken');
  other.send('GET /whole HTTP/1.0\r\n\r\n');
  assert.equal((await other.response()).body.toString(), 'whole');
});
