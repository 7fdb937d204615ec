/** What is asked for, and of whom, is clear to every hop, or refused before anybody reads further. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Fleet } from '../support/fleet.ts';
import { headerValue, RawClient } from '../support/raw-client.ts';
import { startRouter, startScriptedWorker, type ScriptedWorker } from '../support/scripted-worker.ts';

let worker: ScriptedWorker;
let fleet: Fleet;

before(async () => {
  worker = await startScriptedWorker();
  fleet = await startRouter([worker], { router: { adminApiKey: 'admin' } });
});

after(async () => {
  await fleet.stop();
  await worker[Symbol.asyncDispose]();
});

const UPGRADE =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n';
const SMUGGLED = 'GET /smuggled HTTP/1.1\r\nHost: r\r\n\r\n';

async function assertRefused(head: string): Promise<void> {
  const before = worker.received.length;
  await using client = await RawClient.connect(fleet.port);
  client.send(`${head}\r\n${SMUGGLED}`);
  const response = await client.response();
  assert.equal(response.status, 400, head);
  assert.equal(JSON.parse(response.body.toString()).error.code, 'invalid_request');
  assert.equal(headerValue(response.headers, 'connection'), 'close');
  assert.equal((await client.ended()).rest.length, 0);
  assert.equal(worker.received.length, before);
}

async function assertPassed(head: string, url: string): Promise<void> {
  await using client = await RawClient.connect(fleet.port);
  client.send(`${head}\r\n`);
  assert.equal((await client.response()).status, 200, head);
  assert.equal(worker.last.url, url);
}

test('a target that is no path and no http URL is refused, whatever the method', async () => {
  for (const target of [
    '*',
    'ftp://host/path',
    'ftp://host',
    'ws://host/v1/models',
    'file:///etc/passwd',
    'http://',
    'http:///v1/models',
    'http:/v1/models',
    'https://?x',
    'httpx://host/sleep',
  ]) {
    for (const method of ['OPTIONS', 'GET', 'POST', 'TRACE'])
      await assertRefused(`${method} ${target} HTTP/1.1\r\nHost: r\r\n`);
    await assertRefused(`GET ${target} HTTP/1.1\r\nHost: r\r\n${UPGRADE}`);
  }
});

test('an http URL stands for its path', async () => {
  for (const [target, url] of [
    ['http://other/a', '/a'],
    ['HTTPS://other:1/a?b=/c', '/a?b=/c'],
    ['http://other?b', '/?b'],
    ['http://[::1]:8000/x', '/x'],
    ['/a//b', '/a//b'],
    ['//other/a', '//other/a'],
  ] as const)
    await assertPassed(`DELETE ${target} HTTP/1.1\r\nHost: r\r\n`, url);
});

test('no Host, two, or one that is none', async () => {
  for (const hosts of [
    [],
    ['Host: a', 'Host: b'],
    ['Host: a', 'hOST: a'],
    ['Host: a', 'X: y', 'Host:'],
    ['Host: a b'],
    ['Host: a, b'],
    ['Host: a/b'],
    ['Host: a@b'],
    ['Host: http://a'],
    ['Host: a:b'],
    ['Host: a:1:2'],
    ['Host: a:123456'],
    ['Host: [::1'],
    ['Host: ::1'],
    ['Host: [g]'],
    ['Host: %zz'],
    ['Host: a\\b'],
    ['Host: "a"'],
    ['Host: a?b'],
    ['Host: <a>'],
    ['Host: h\xe9'],
    [`Host: ${'a'.repeat(8_000)}:${'1'.repeat(8_000)}`],
  ]) {
    const lines = hosts.map((line) => `${line}\r\n`).join('');
    await assertRefused(`POST /v1/completions HTTP/1.1\r\n${lines}Content-Length: 0\r\n`);
    await assertRefused(`GET /x HTTP/1.1\r\n${lines}${UPGRADE}`);
    await assertRefused(`GET /workers HTTP/1.1\r\nX-Admin-Key: admin\r\n${lines}`);
  }
});

test('every Host that may be one passes', async () => {
  for (const host of [
    'r',
    'r:8000',
    'R.example.com.',
    '127.0.0.1:80',
    '[::1]',
    '[2001:db8::1]:443',
    '[fe80::1%25eth0]:80',
    'my_service',
    'xn--bcher-kva.example',
    'a%20b',
    'r:',
    '',
  ])
    await assertPassed(`GET /x HTTP/1.1\r\nHost: ${host}\r\n`, '/x');
  await assertPassed('GET /x HTTP/1.0\r\n', '/x');
});

test('two Hosts are refused to an HTTP/1.0 client, too', async () => {
  await assertRefused('GET /x HTTP/1.0\r\nHost: a\r\nHost: b\r\nConnection: keep-alive\r\n');
});

test('TRACE is offered nowhere', async () => {
  const before = worker.received.length;
  for (const path of [
    '/',
    '/v1/chat/completions',
    '/v1/messages',
    '/health',
    '/unknown',
    '/sleep',
    '/workers',
  ]) {
    await using client = await RawClient.connect(fleet.port);
    client.send(`TRACE ${path} HTTP/1.1\r\nHost: r\r\nX-Admin-Key: admin\r\n\r\n`);
    const response = await client.response();
    assert.equal(response.status, 405, path);
    assert.match(headerValue(response.headers, 'allow') ?? '', /GET|POST/, path);
    assert.doesNotMatch(headerValue(response.headers, 'allow') ?? '', /TRACE/);
    assert.match(response.body.toString(), /method_not_allowed|METHOD_NOT_ALLOWED|"type":"error"/, path);
  }
  assert.equal(worker.received.length, before);
  const decision = await fleet.decision(({ http_method }) => http_method === 'TRACE');
  assert.deepEqual(
    [decision.status, decision.outcome, decision.error],
    [405, 'rejected', 'method_not_allowed'],
  );
});
