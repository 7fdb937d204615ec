/** Workers behind a path prefix, on a Unix socket, behind TLS. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { start } from '../programs.ts';
import { eventually, startFleet, type Fleet } from '../support/fleet.ts';
import { ask, RawClient } from '../support/raw-client.ts';
import { startRouter, startScriptedWorker } from '../support/scripted-worker.ts';
import { selfSigned } from '../support/self-signed.ts';

const BODY = JSON.stringify({ model: 'sim-model', prompt: 'hi' });

function complete({ url }: Pick<Fleet, 'url'>): Promise<Response> {
  return fetch(`${url}/v1/completions?q=1`, { method: 'POST', body: BODY });
}

async function temporaryFolder() {
  const path = await mkdtemp(join(tmpdir(), 'vllm-router-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) };
}

test('a path prefix stands in front of every path, of probes too', async () => {
  await using worker = await startScriptedWorker(undefined, { prefix: '/team/a' });
  await using fleet = await startRouter([worker]);
  assert.equal((await complete(fleet)).headers.get('x-vllm-router-worker'), worker.url);
  assert.equal(worker.last.url, '/team/a/v1/completions?q=1');
  await ask(fleet.port, 'GET /unknown HTTP/1.1\r\nHost: r\r\n\r\n');
  assert.equal(worker.last.url, '/team/a/unknown');
  assert.deepEqual([...new Set(worker.probes.map(({ url }) => url))].sort(), [
    '/team/a/health',
    '/team/a/is_paused',
    '/team/a/is_sleeping',
    '/team/a/kv_event_sources',
    '/team/a/v1/models',
    '/team/a/version',
  ]);
});

for (const path of [
  '/../b/v1/models',
  '/x/../../b',
  '/%2e%2e/b',
  '/..%2fb',
  '/%2E%2E%2Fb/secret',
  '/v1/%252e%252e/%252e%252e/%252e%252e/b',
  '/..\\b',
]) {
  test(`nobody climbs out of the prefix: ${path}`, async () => {
    await using worker = await startScriptedWorker(undefined, { prefix: '/team/a' });
    await using fleet = await startRouter([worker]);
    const response = await ask(fleet.port, `GET ${path} HTTP/1.1\r\nHost: r\r\n\r\n`);
    assert.equal(response.status, 400);
    assert.equal(JSON.parse(response.body.toString()).error.code, 'invalid_request');
    assert.equal(worker.received.length, 0);
  });
}

test('a Unix socket, with streams and WebSockets', async () => {
  await using folder = await temporaryFolder();
  const socketPath = join(folder.path, 'worker.sock');
  await using worker = await startScriptedWorker(
    (response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('data: 1\n\n');
      response.end('data: [DONE]\n\n');
    },
    {
      socketPath,
      onUpgrade: (_request, socket) =>
        socket.end('HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nhi'),
    },
  );
  assert.equal(worker.url, `unix://${socketPath}`);
  await using fleet = await startRouter([worker]);
  const response = await complete(fleet);
  assert.equal(response.headers.get('x-vllm-router-worker'), worker.url);
  assert.equal(await response.text(), 'data: 1\n\ndata: [DONE]\n\n');
  assert.equal(worker.last.body.toString(), BODY);
  assert.equal(worker.last.headers.host, 'localhost');
  await using client = await RawClient.connect(fleet.port);
  client.send('GET /ws HTTP/1.1\r\nHost: r\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n');
  assert.equal((await client.response({ interim: true })).status, 101);
  assert.equal((await client.bytes(2)).toString(), 'hi');
  client.socket.end();
});

test('a worker whose certificate nobody vouches for is not used', async () => {
  await using worker = await startScriptedWorker(undefined, { tls: selfSigned() });
  await using fleet = await startFleet({ workers: [], extraWorkerUrls: [worker.url], waitForWorkers: false });
  const [registered] = fleet.app.runtime.registry.workers;
  await eventually(() => registered?.health.reason !== undefined);
  assert.match(registered?.health.reason ?? '', /SELF_SIGNED/);
  assert.equal((await complete(fleet)).status, 503);
  assert.equal(worker.probes.length, 0);
});

test('a worker whose certificate NODE_EXTRA_CA_CERTS vouches for is', async (t) => {
  await using folder = await temporaryFolder();
  const tls = selfSigned();
  const certificate = join(folder.path, 'ca.pem');
  await writeFile(certificate, tls.cert);
  await using worker = await startScriptedWorker(undefined, { tls });
  const root = fileURLToPath(new URL('../..', import.meta.url));
  const router = start(
    t,
    process.execPath,
    [
      'bin/vllm-router.js',
      '--worker-urls',
      worker.url,
      '--port',
      '0',
      '--prometheus-port',
      '0',
      '--log-format',
      'json',
    ],
    { cwd: root, env: { NODE_EXTRA_CA_CERTS: certificate } },
  );
  const [, url = ''] = await router.printed(/"url":"(http:[^"]+)"/);
  await router.printed(/worker is healthy/);
  const response = await complete({ url });
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('x-vllm-router-worker'), worker.url);
  assert.equal(worker.last.body.toString(), BODY);
});
