/** A request whose end two hops could see in two places is refused, and its connection closed. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Fleet } from '../support/fleet.ts';
import { headerValue, RawClient } from '../support/raw-client.ts';
import { startRouter, startScriptedWorker, type ScriptedWorker } from '../support/scripted-worker.ts';

let worker: ScriptedWorker;
let fleet: Fleet;

before(async () => {
  worker = await startScriptedWorker();
  fleet = await startRouter([worker], { router: { maxHeaderSize: 8192 } });
});

after(async () => {
  await fleet.stop();
  await worker[Symbol.asyncDispose]();
});

const SMUGGLED = 'GET /smuggled HTTP/1.1\r\nHost: r\r\n\r\n';
const CHUNKED = '3\r\nabc\r\n0\r\n\r\n';

for (const [what, headers, body] of [
  ['two lengths that differ', 'Content-Length: 3\r\nContent-Length: 4', 'abc'],
  ['two lengths that agree', 'Content-Length: 3\r\nContent-Length: 3', 'abc'],
  ['a list of lengths', 'Content-Length: 3, 3', 'abc'],
  ['a length with a sign', 'Content-Length: +3', 'abc'],
  ['a negative length', 'Content-Length: -1', ''],
  ['a length in hex', 'Content-Length: 0x3', 'abc'],
  ['a length with a fraction', 'Content-Length: 3.0', 'abc'],
  ['an empty length', 'Content-Length: ', ''],
  ['a length beyond all numbers', `Content-Length: ${'9'.repeat(30)}`, ''],
  ['a length and chunking', 'Content-Length: 3\r\nTransfer-Encoding: chunked', CHUNKED],
  ['chunking and a length', 'Transfer-Encoding: chunked\r\nContent-Length: 13', CHUNKED],
  ['chunking twice', 'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked', CHUNKED],
  ['chunking twice in one line', 'Transfer-Encoding: chunked, chunked', CHUNKED],
  ['chunking that is not last', 'Transfer-Encoding: chunked, identity', CHUNKED],
  ['another coding', 'Transfer-Encoding: gzip', ''],
  ['another coding before chunking', 'Transfer-Encoding: gzip, chunked', CHUNKED],
  ['identity', 'Transfer-Encoding: identity', ''],
  ['a coding that looks like chunking', 'Transfer-Encoding: xchunked', CHUNKED],
  ['chunking behind a tab', 'Transfer-Encoding:\x0bchunked', CHUNKED],
  ['space before the colon', 'Transfer-Encoding : chunked', CHUNKED],
  ['a folded line', 'Transfer-Encoding:\r\n chunked', CHUNKED],
  ['an empty coding', 'Transfer-Encoding: ', ''],
  ['a chunk size that is no number', 'Transfer-Encoding: chunked', 'zz\r\nabc\r\n0\r\n\r\n'],
  ['a chunk longer than its size', 'Transfer-Encoding: chunked', '2\r\nabc\r\n0\r\n\r\n'],
  ['a bare line feed', 'X: 1\nContent-Length: 3', 'abc'],
  ['a bare carriage return', 'X: 1\rContent-Length: 3', 'abc'],
  ['a NUL in a header', 'X: a\x00b', ''],
] as const) {
  test(what, async () => {
    await using client = await RawClient.connect(fleet.port);
    client.send(`POST /v1/completions HTTP/1.1\r\nHost: r\r\n${headers}\r\n\r\n${body}${SMUGGLED}`);
    const response = await client.response();
    assert.equal(response.status, 400);
    assert.equal(JSON.parse(response.body.toString()).error.code, 'invalid_request');
    assert.equal(headerValue(response.headers, 'connection'), 'close');
    const { rest } = await client.ended();
    assert.equal(rest.length, 0);
    assert.deepEqual(worker.received, []);
  });
}

test('chunking from an HTTP/1.0 client, which knows none', async () => {
  await using client = await RawClient.connect(fleet.port);
  client.send(
    `POST /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n${CHUNKED}${SMUGGLED}`,
  );
  assert.equal((await client.response()).status, 400);
  await client.ended();
  assert.deepEqual(worker.received, []);
});

for (const [what, bytes] of [
  ['no HTTP at all', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello'],
  ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  ['a version that is not there', 'GET / HTTP/1.9\r\nHost: r\r\n\r\n'],
  ['a method that is not there', 'FROBNICATE / HTTP/1.1\r\nHost: r\r\n\r\n'],
  ['a space in the path', 'GET /a b HTTP/1.1\r\nHost: r\r\n\r\n'],
] as const) {
  test(what, async () => {
    await using client = await RawClient.connect(fleet.port);
    client.send(bytes);
    assert.equal((await client.response()).status, 400);
    await client.ended();
    assert.deepEqual(worker.received, []);
  });
}

for (const [what, request] of [
  ['a long header', `GET /x HTTP/1.1\r\nHost: r\r\nX: ${'x'.repeat(9_000)}\r\n\r\n`],
  ['many headers', `GET /x HTTP/1.1\r\nHost: r\r\n${'x: 12345678\r\n'.repeat(1_000)}\r\n`],
  ['a long path', `GET /${'x'.repeat(9_000)} HTTP/1.1\r\nHost: r\r\n\r\n`],
  ['a head that never ends', `GET /x HTTP/1.1\r\nHost: r\r\n${'x: 12345678\r\n'.repeat(1_000)}`],
] as const) {
  test(`431 for ${what}`, async () => {
    await using client = await RawClient.connect(fleet.port);
    client.send(request);
    const response = await client.response();
    assert.equal(response.status, 431);
    assert.equal(JSON.parse(response.body.toString()).error.code, 'headers_too_large');
    assert.equal(headerValue(response.headers, 'connection'), 'close');
    await client.ended();
    assert.deepEqual(worker.received, []);
  });
}

test('refused connections are counted', async () => {
  const metrics = await fleet.metrics();
  for (const code of ['invalid_request', 'headers_too_large']) {
    assert.match(metrics, new RegExp(`vllm_router_request_errors_total\\{[^}]*"${code}"[^}]*\\} [1-9]`));
  }
});

test('garbage behind a request does not get into its answer', async () => {
  worker.answer = (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write('data: 1\n\n');
  };
  await using client = await RawClient.connect(fleet.port);
  client.send('GET /stream HTTP/1.1\r\nHost: r\r\n\r\n');
  await client.seen(/data: 1/);
  client.send('\x00\x01 not http\r\n\r\n');
  const { rest } = await client.ended();
  assert.match(rest.toString(), /^HTTP\/1\.1 200 OK\r\n[^]*data: 1\n\n\r\n$/);
  assert.doesNotMatch(rest.toString(), /HTTP\/1\.1 400/);
});
