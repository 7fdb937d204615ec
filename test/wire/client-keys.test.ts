/** Who is let in: keys of tenants, one key for all, services that know the keys; and that workers never see one. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { chat, CHAT, post } from '../support/chat.ts';
import { eventually, startFleet, type Fleet } from '../support/fleet.ts';
import { scrape } from '../support/metrics.ts';
import { headerValue, RawClient } from '../support/raw-client.ts';
import { startRouter, startScriptedWorker } from '../support/scripted-worker.ts';

const TENANTS = { apiKeys: [{ name: 'blue', key: 'sk-blue' }] };

interface ErrorBody {
  readonly type?: string;
  readonly error: { readonly code: string; readonly type: string; readonly message: string };
}

async function errorOf(response: Response): Promise<ErrorBody['error']> {
  return ((await response.json()) as ErrorBody).error;
}

function bearer(key: string): RequestInit {
  return { headers: { authorization: `Bearer ${key}` } };
}

async function statusOf(fleet: Fleet, path: string, init?: RequestInit): Promise<number> {
  const response = await fetch(fleet.url + path, init);
  await response.arrayBuffer();
  return response.status;
}

const FORMS: Readonly<Record<string, Record<string, string>>> = {
  'Authorization: Bearer': { authorization: 'Bearer sk-blue' },
  'in any case': { authorization: 'bearer   sk-blue' },
  'X-Router-Key': { 'x-router-key': 'sk-blue' },
  'x-api-key': { 'x-api-key': 'sk-blue' },
  'behind another scheme': { authorization: 'Basic Zm9v', 'x-api-key': 'sk-blue' },
};

for (const [form, headers] of Object.entries(FORMS)) {
  test(`a key is taken from ${form}, on every route`, async () => {
    await using fleet = await startFleet({ workers: [{}], router: TENANTS });
    assert.equal((await chat(fleet, {}, { headers })).status, 200);
    const { tenant } = await fleet.decision();
    assert.equal(tenant, 'blue');
    assert.equal((await post(fleet, '/v1/messages', CHAT, { headers })).status, 200);
    assert.equal(await statusOf(fleet, '/v1/models', { headers }), 200);
    assert.equal(await statusOf(fleet, '/version', { headers }), 200);
  });
}

test('the first key that is there decides: a good one behind a bad one does not help', async () => {
  await using fleet = await startFleet({ workers: [{}], router: TENANTS });
  const headers = { authorization: 'Bearer wrong', 'x-api-key': 'sk-blue' };
  assert.equal((await chat(fleet, {}, { headers })).status, 401);
});

test('without a key, and with a wrong one: 401 in the dialect of the route, and no worker hears of it', async () => {
  await using fleet = await startFleet({ workers: [{}], router: TENANTS });
  const missing = await chat(fleet);
  assert.equal(missing.status, 401);
  assert.equal(missing.headers.get('www-authenticate'), 'Bearer');
  const { code, type } = await errorOf(missing);
  assert.deepEqual([code, type], ['missing_api_key', 'authentication_error']);

  const wrong = await post(fleet, '/v1/messages', CHAT, { headers: { 'x-api-key': 'sk-blu' } });
  assert.equal(wrong.status, 401);
  const body = (await wrong.json()) as ErrorBody;
  assert.deepEqual(
    [body.type, body.error.type, body.error.code],
    ['error', 'authentication_error', 'invalid_api_key'],
  );
  assert.ok(!body.error.message.includes('sk-blu'));
  assert.equal((await chat(fleet, {}, bearer(''))).status, 401);
  assert.ok(fleet.workers.every(({ seen }) => seen.every(({ method }) => method === 'GET')));
  const metrics = await scrape(fleet);
  assert.equal(metrics.value('vllm_router_auth_failures_total', { reason: 'missing_api_key' }), 2);
  assert.equal(metrics.value('vllm_router_auth_failures_total', { reason: 'invalid_api_key' }), 1);
  assert.equal(metrics.sum('vllm_router_tenant_requests_total'), 0);
});

test('every route wants a key but those that tell whether the router lives', async () => {
  await using fleet = await startFleet({ workers: [{}], router: TENANTS });
  for (const path of ['/liveness', '/readiness', '/health', '/health_generate'])
    assert.equal(await statusOf(fleet, path), 200, path);
  const closed = [
    '/v1/models',
    '/version',
    '/get_server_info',
    '/get_model_info',
    '/v1/responses/resp_1',
    '/ping',
    '/v1/realtime',
    '/HEALTH',
    '//liveness/x',
    '/health/../v1/models',
    '/%6civeness/../version',
  ];
  for (const path of closed) assert.equal(await statusOf(fleet, path), 401, path);
  assert.equal(await statusOf(fleet, '/v1/chat/completions', { method: 'OPTIONS' }), 401);
});

test('a browser asks before it sends its key', async () => {
  await using fleet = await startFleet({ workers: [{}], router: TENANTS });
  const response = await fetch(`${fleet.url}/v1/chat/completions`, {
    method: 'OPTIONS',
    headers: {
      origin: 'https://app.example',
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'authorization',
    },
  });
  assert.equal(response.status, 204);
  // And may read why it was turned away.
  const refused = await chat(fleet, {}, { headers: { origin: 'https://app.example' } });
  assert.equal(refused.headers.get('access-control-allow-origin'), '*');
});

test('a WebSocket handshake needs a key; a tunnel counts as a request of its tenant until it is closed', async () => {
  await using worker = await startScriptedWorker(undefined, {
    onUpgrade: (_request, socket) => {
      socket.on('end', () => socket.end()).resume();
      socket.write('HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n');
    },
  });
  await using fleet = await startRouter([worker], {
    router: { apiKeys: [{ name: 'blue', key: 'sk-blue', maxConcurrent: 1 }] },
  });
  const handshake = (key: string): string =>
    `GET /v1/realtime HTTP/1.1\r\nHost: r\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${key}\r\n`;
  await using stranger = await RawClient.connect(fleet.port);
  stranger.send(handshake(''));
  assert.equal((await stranger.response()).status, 401);
  await using client = await RawClient.connect(fleet.port);
  client.send(handshake('Authorization: Bearer sk-blue\r\n'));
  const accepted = await client.response();
  assert.equal(accepted.status, 101);
  assert.equal(headerValue(accepted.headers, 'x-ratelimit-limit-requests'), '100');
  const response = await chat(fleet, {}, bearer('sk-blue'));
  assert.equal(response.status, 429);
  assert.equal((await errorOf(response)).code, 'concurrency_exceeded');
  client.socket.destroy();
  await once(client.socket, 'close');
  const tenant = fleet.app.runtime.clients.tenants.named('blue');
  await eventually(() => tenant?.inFlight === 0);
  assert.equal((await chat(fleet, {}, bearer('sk-blue'))).status, 200);
});

test('an upload without a good key is refused before its body is read, and not even asked for', async () => {
  await using fleet = await startFleet({ workers: [{}], router: TENANTS });
  await using asking = await RawClient.connect(fleet.port);
  asking.send(
    'POST /v1/chat/completions HTTP/1.1\r\nHost: r\r\nExpect: 100-continue\r\nContent-Length: 100000000\r\n\r\n',
  );
  const refused = await asking.response({ interim: true });
  assert.equal(refused.status, 401);
  assert.equal(headerValue(refused.headers, 'connection'), 'close');

  await using client = await RawClient.connect(fleet.port);
  client.send('POST /v1/chat/completions HTTP/1.1\r\nHost: r\r\nContent-Length: 100000000\r\n\r\n{"model"');
  const response = await client.response();
  assert.equal(response.status, 401);
  assert.equal(fleet.app.runtime.bodyBytes.held, 0);
  // Whoever is still sending can read the answer before the connection goes.
  assert.equal((await client.ended()).how, 'closed');
});

test('keys may be given by their digest, in a list and in a file', async () => {
  const digest = createHash('sha256').update('sk-three').digest('hex');
  const file = join(mkdtempSync(join(tmpdir(), 'keys-')), 'keys');
  writeFileSync(
    file,
    `# present\nsk-five\n\nsha256:${createHash('sha256').update('sk-six').digest('hex')}\n`,
  );
  await using fleet = await startFleet({
    workers: [{}],
    router: {
      apiKeys: [
        { name: 'two', keys: ['sk-one', 'sk-two'] },
        { name: 'three', keySha256: digest.toUpperCase() },
        { name: 'four', key: `sha256:${createHash('sha256').update('sk-four').digest('hex')}` },
        { name: 'file', keyFile: file },
      ],
    },
  });
  const owners = { one: 'two', two: 'two', three: 'three', four: 'four', five: 'file', six: 'file' };
  for (const [key, owner] of Object.entries(owners)) {
    assert.equal((await chat(fleet, { user: key }, bearer(`sk-${key}`))).status, 200, key);
    const { tenant } = await fleet.decision();
    assert.equal(tenant, owner);
  }
  // The digest itself opens nothing.
  assert.equal((await chat(fleet, {}, bearer(digest))).status, 401);
  assert.equal((await chat(fleet, {}, bearer(`sha256:${digest}`))).status, 401);
});

test('one key for all', async () => {
  await using fleet = await startFleet({ workers: [{}], router: { inboundApiKey: 'sk-all' } });
  assert.equal((await chat(fleet)).status, 401);
  assert.equal((await chat(fleet, {}, bearer('sk-al'))).status, 401);
  const response = await chat(fleet, {}, bearer('sk-all'));
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('x-ratelimit-limit-requests'), null);
  assert.equal((await fleet.decision(({ status }) => status === 200)).tenant, undefined);
});

test('with tenants the key for all opens nothing', async () => {
  await using fleet = await startFleet({ workers: [{}], router: { ...TENANTS, inboundApiKey: 'sk-all' } });
  assert.equal((await chat(fleet, {}, bearer('sk-all'))).status, 401);
  assert.equal((await chat(fleet, {}, bearer('sk-blue'))).status, 200);
});

test('a disabled tenant: 403, whatever it asks for', async () => {
  await using fleet = await startFleet({
    workers: [{}],
    router: { apiKeys: [{ name: 'blue', key: 'sk-blue', enabled: false }] },
  });
  const response = await chat(fleet, {}, bearer('sk-blue'));
  assert.equal(response.status, 403);
  const { code, type } = await errorOf(response);
  assert.deepEqual([code, type], ['key_disabled', 'permission_error']);
  assert.equal(await statusOf(fleet, '/v1/models', bearer('sk-blue')), 403);
  assert.equal((await fleet.decision()).tenant, 'blue');
});

test('the admin key opens inference routes too, and belongs to no tenant', async () => {
  await using fleet = await startFleet({ workers: [{}], router: { ...TENANTS, adminApiKey: 'root' } });
  assert.equal((await chat(fleet, {}, { headers: { 'x-admin-key': 'root' } })).status, 200);
  const response = await chat(fleet, {}, bearer('root'));
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('x-ratelimit-limit-requests'), null);
  assert.equal((await fleet.decision()).tenant, undefined);
});

test('a tenant’s key opens no worker, admin or operator route, with an admin key and without', async () => {
  await using locked = await startFleet({ workers: [{}], router: { ...TENANTS, adminApiKey: 'root' } });
  for (const path of ['/admin/stats', '/admin/tenants', '/workers', '/list_workers', '/get_loads'])
    assert.equal(await statusOf(locked, path, bearer('sk-blue')), 401, path);
  assert.equal(
    await statusOf(locked, '/add_worker?url=http://x', { method: 'POST', ...bearer('sk-blue') }),
    401,
  );
  assert.equal(await statusOf(locked, '/metrics', bearer('sk-blue')), 404);
  assert.equal(await statusOf(locked, '/metrics', bearer('root')), 200);

  await using open = await startFleet({ workers: [{}], router: TENANTS });
  // Not from this machine, as far as the router can tell.
  const forwarded = { headers: { authorization: 'Bearer sk-blue', 'x-forwarded-for': '10.0.0.1' } };
  assert.equal(await statusOf(open, '/admin/stats', forwarded), 403);
  assert.equal(await statusOf(open, '/workers', forwarded), 403);
  assert.equal(await statusOf(open, '/admin/stats'), 200);
});

test('workers get neither the client’s credentials nor a word about the tenant', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker], { router: TENANTS });
  const headers = {
    'x-router-key': 'sk-blue',
    'x-api-key': 'another',
    cookie: 'session=1',
    'x-vllm-tenant': 'green',
    'x-other': 'kept',
  };
  assert.equal((await chat(fleet, {}, { headers })).status, 200);
  for (const name of ['authorization', 'x-api-key', 'x-router-key', 'cookie', 'x-vllm-tenant'])
    assert.equal(worker.last.headers[name], undefined, name);
  assert.equal(worker.last.headers['x-other'], 'kept');
  assert.equal((await chat(fleet, {}, bearer('sk-blue'))).status, 200);
  assert.equal(worker.last.headers.authorization, undefined);
  assert.ok(!JSON.stringify(await fleet.app.allDecisions(10)).includes('sk-'));
});

test('two keys in one body: what is judged is what the worker reads', async () => {
  await using fleet = await startFleet({ workers: [{}], router: TENANTS });
  const response = await fetch(`${fleet.url}/v1/completions`, {
    method: 'POST',
    headers: { authorization: 'Bearer sk-blue', 'content-type': 'application/json' },
    body: '{"model":"sim-model","model":"other","prompt":"hi"}',
  });
  assert.equal(response.status, 400);
  assert.equal((await errorOf(response)).code, 'duplicate_field');
});
