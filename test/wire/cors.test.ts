/** Web pages of allowed origins may call the router; what workers say about origins does not count. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Fleet } from '../support/fleet.ts';
import { ask, type RawResponse } from '../support/raw-client.ts';
import { startRouter, startScriptedWorker } from '../support/scripted-worker.ts';

const APP = 'https://app.example.com';
const EVIL = 'https://evil.example.com';

function send(
  fleet: Fleet,
  method: string,
  path: string,
  headers: Record<string, string>,
): Promise<RawResponse> {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return ask(
    fleet.port,
    `${method} ${path} HTTP/1.1\r\nHost: r\r\nContent-Length: 2\r\n${lines.join('')}\r\n{}`,
  );
}

/** Each of these headers at most once, or browsers refuse the answer. */
function cors(response: RawResponse): Record<string, string> {
  const found: Record<string, string> = {};
  for (const [name, value] of response.headers) {
    if (!name.startsWith('access-control-') && name !== 'vary') continue;
    assert.ok(!(name in found), `${name} twice`);
    found[name] = value;
  }
  return found;
}

/** Like vLLM, whose default lets everybody in. */
function startLenientWorker() {
  return startScriptedWorker((response) => {
    response
      .writeHead(200, {
        'access-control-allow-origin': '*',
        'access-control-allow-credentials': 'true',
        'x-own': '1',
      })
      .end('ok');
  });
}

test('by default any page may read answers, the router’s headers included', async () => {
  await using worker = await startLenientWorker();
  await using fleet = await startRouter([worker]);
  const headers = cors(await send(fleet, 'POST', '/v1/chat/completions', { Origin: EVIL }));
  assert.equal(headers['access-control-allow-origin'], '*');
  assert.equal(headers['access-control-allow-credentials'], undefined);
  for (const name of ['x-request-id', 'x-vllm-router-worker', 'server-timing']) {
    assert.ok(headers['access-control-expose-headers']?.split(', ').includes(name), name);
  }
});

test('without an Origin nothing is added', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker]);
  assert.deepEqual(cors(await send(fleet, 'POST', '/v1/chat/completions', {})), {});
});

test('with configured origins only their pages, whatever the worker says', async () => {
  await using worker = await startLenientWorker();
  await using fleet = await startRouter([worker], { router: { corsAllowedOrigins: [APP] } });
  const allowed = cors(await send(fleet, 'POST', '/v1/chat/completions', { Origin: APP }));
  assert.equal(allowed['access-control-allow-origin'], APP);
  assert.equal(allowed['vary'], 'origin');
  for (const path of ['/v1/chat/completions', '/unknown', '/v1/models', '/v1/chat/../../x']) {
    assert.deepEqual(cors(await send(fleet, 'POST', path, { Origin: EVIL })), {}, path);
  }
});

test('errors can be read as well: a page must be able to show them', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker], {
    router: { corsAllowedOrigins: [APP], modelRules: [{ match: 'other', rewrite: 'sim-model' }] },
  });
  const response = await ask(
    fleet.port,
    `POST /v1/completions HTTP/1.1\r\nHost: r\r\nOrigin: ${APP}\r\nContent-Length: 1\r\n\r\n{`,
  );
  assert.equal(response.status, 400);
  assert.equal(cors(response)['access-control-allow-origin'], APP);
});

test('a preflight is answered by the router, for every inference route', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker]);
  for (const path of [
    '/v1/chat/completions',
    '/v1/audio/transcriptions',
    '/v1/models',
    '/unknown/route',
    '/health',
  ]) {
    const response = await send(fleet, 'OPTIONS', path, {
      Origin: APP,
      'Access-Control-Request-Method': 'POST',
      'Access-Control-Request-Headers': 'authorization, x-stainless-arch',
    });
    assert.equal(response.status, 204);
    assert.ok(!response.headers.some(([name]) => name === 'content-length' || name === 'content-type'));
    const headers = cors(response);
    assert.equal(headers['access-control-allow-origin'], '*');
    assert.match(headers['access-control-allow-methods'] ?? '', /\bPOST\b/);
    assert.equal(headers['access-control-allow-headers'], 'authorization, x-stainless-arch');
    assert.equal(headers['access-control-max-age'], '3600');
  }
  assert.deepEqual(worker.received, []);
});

test('a preflight of an origin that is not allowed is refused', async () => {
  await using worker = await startLenientWorker();
  await using fleet = await startRouter([worker], { router: { corsAllowedOrigins: [APP] } });
  const refused = await send(fleet, 'OPTIONS', '/v1/chat/completions', {
    Origin: EVIL,
    'Access-Control-Request-Method': 'POST',
  });
  assert.equal(refused.status, 403);
  assert.deepEqual(cors(refused), {});
});

test('an OPTIONS request that is no preflight is the worker’s', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker]);
  for (const headers of [{}, { Origin: APP }, { 'Access-Control-Request-Method': 'POST' }]) {
    assert.equal((await send(fleet, 'OPTIONS', '/v1/chat/completions', headers)).status, 200);
    assert.equal(worker.last.method, 'OPTIONS');
  }
});
