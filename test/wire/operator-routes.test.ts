/** What changes, stops or reveals a worker is not for clients, in whatever spelling they ask for it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Fleet } from '../support/fleet.ts';
import { ask, headerValue, type RawResponse } from '../support/raw-client.ts';
import { startRouter, startScriptedWorker } from '../support/scripted-worker.ts';

const KEY = 'the-admin-key-of-this-test';
const ROUTES = [
  'POST /sleep?level=1',
  'POST /wake_up',
  'POST /pause',
  'POST /resume',
  'POST /collective_rpc',
  'POST /update_weights',
  'POST /init_weight_transfer_engine',
  'POST /reset_prefix_cache',
  'POST /reset_mm_cache',
  'GET /server_info',
  'POST /scale_elastic_ep',
  'POST /abort_requests',
  'POST /inference/v1/abort_requests',
  'GET /is_sleeping',
  'GET /is_paused',
  'GET /get_world_size',
  'POST /init_weights_update_group',
  'POST /fault_tolerance/instruct',
  'GET /kv_event_sources',
  'GET /redoc',
  'POST /start_profile',
  'POST /stop_profile',
  'POST /v1/load_lora_adapter',
  'POST /v1/unload_lora_adapter',
  'GET /metrics',
  'GET /docs',
];
const DISGUISED = [
  'POST //sleep',
  'POST /inference//v1/abort_requests/',
  'POST /sleep/',
  'POST /%73leep',
  'POST /%2573leep',
  'POST /./sleep',
  'POST /x/../sleep',
  'POST /x/%2e%2e/sleep',
  'POST /x%2F..%2Fsleep',
  'POST /\\sleep',
  'POST /sleep#fragment',
  'POST /sleep#/../v1/models',
  'POST /sleep?x=1#y',
  'POST http://worker/sleep',
  'POST http://worker//sleep',
  'HEAD /metrics',
  'OPTIONS /sleep',
  'PROPFIND /sleep',
];
/** The router's own, whether it offers them or not. */
const OWN = [
  'GET /openapi.json',
  'GET /workers',
  'POST /workers',
  'GET /workers/http%3A%2F%2Fw%3A1',
  'DELETE /workers/http://w:1',
  'GET /admin',
  'PUT /admin/policy',
  'GET /%61dmin/decisions',
  'GET //workers',
];

function send(fleet: Fleet, request: string, headers = ''): Promise<RawResponse> {
  const [method = ''] = request.split(' ');
  return ask(
    fleet.port,
    `${request} HTTP/1.1\r\nHost: router\r\nContent-Length: 0\r\n${headers}\r\n`,
    method,
  );
}

test('hidden: 404, and no worker hears of it', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker], { router: { adminApiKey: KEY } });
  for (const request of [...ROUTES, ...DISGUISED]) {
    const response = await send(fleet, request);
    assert.equal(response.status, 404, request);
    if (!request.startsWith('HEAD'))
      assert.equal(JSON.parse(response.body.toString()).error.code, 'route_not_found');
  }
  assert.deepEqual(worker.received, []);
});

test('who asks the clients’ port for metrics hears where they are', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker]);
  const { body } = await send(fleet, 'GET /metrics');
  assert.match(body.toString(), /"no such route; metrics are on a port of their own \(--prometheus-port\)"/);
});

test('a wrong key, or one in the wrong place, opens nothing', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker], { router: { adminApiKey: KEY } });
  for (const header of [
    `X-Admin-Key: ${KEY}x`,
    `X-Admin-Key: ${KEY.slice(1)}`,
    'X-Admin-Key:',
    `Authorization: Basic ${KEY}`,
    `Authorization: ${KEY}`,
    `X-Api-Key: ${KEY}`,
    `Cookie: admin=${KEY}`,
  ]) {
    assert.equal((await send(fleet, 'POST /sleep', `${header}\r\n`)).status, 404, header);
  }
  assert.equal((await send(fleet, `POST /sleep?key=${KEY}`)).status, 404);
  assert.deepEqual(worker.received, []);
});

test('without a configured key no key opens them', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker]);
  for (const header of [
    'X-Admin-Key: undefined',
    'X-Admin-Key:',
    'Authorization: Bearer undefined',
    'Authorization: Bearer',
  ]) {
    assert.equal((await send(fleet, 'POST /sleep', `${header}\r\n`)).status, 404, header);
  }
});

for (const header of [
  `X-Admin-Key: ${KEY}`,
  `Authorization: Bearer ${KEY}`,
  `authorization: bearer  ${KEY}`,
]) {
  test(`the admin key opens them, and does not reach the worker: ${header.split(':')[0] ?? ''}`, async () => {
    await using worker = await startScriptedWorker();
    await using fleet = await startRouter([worker], { router: { adminApiKey: KEY } });
    for (const request of ROUTES) {
      const [method = '', target = ''] = request.split(' ');
      assert.equal((await send(fleet, request, `${header}\r\n`)).status, 200, request);
      assert.deepEqual([worker.last.method, worker.last.url], [method, target]);
      assert.ok(!JSON.stringify(worker.last.rawHeaders).includes(KEY));
    }
  });
}

test('the admin key on any other route does not reach the worker either', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker], { router: { adminApiKey: KEY } });
  await send(fleet, 'GET /anything', `X-Admin-Key: ${KEY}\r\nAuthorization: Bearer ${KEY}\r\n`);
  assert.ok(!JSON.stringify(worker.last.rawHeaders).includes(KEY));
  await send(fleet, 'GET /anything', 'Authorization: Bearer of-the-client\r\n');
  assert.equal(worker.last.headers.authorization, 'Bearer of-the-client');
});

test('proxy_operator_routes opens the workers’ routes to everybody', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker], { router: { proxyOperatorRoutes: true } });
  for (const request of ROUTES) assert.equal((await send(fleet, request)).status, 200, request);
  assert.equal(worker.received.length, ROUTES.length);
});

test('the router’s own routes are never proxied, whoever asks', async () => {
  await using worker = await startScriptedWorker();
  for (const router of [{}, { adminApiKey: KEY }]) {
    await using fleet = await startRouter([worker], { router });
    for (const request of OWN) {
      const refused = await send(fleet, request);
      assert.ok([401, 403, 404].includes(refused.status), `${request} ${refused.status}`);
      await send(fleet, request, `X-Admin-Key: ${KEY}\r\n`);
    }
  }
  await using open = await startRouter([worker], { router: { adminApiKey: KEY, proxyOperatorRoutes: true } });
  for (const request of OWN.slice(1)) await send(open, request, `X-Admin-Key: ${KEY}\r\n`);
  assert.deepEqual(worker.received, []);
});

test('web pages get nothing of them, whatever origins are allowed', async () => {
  await using worker = await startScriptedWorker((response) => {
    response.writeHead(200, { 'access-control-allow-origin': '*' }).end();
  });
  await using fleet = await startRouter([worker], { router: { proxyOperatorRoutes: true } });
  const origin = 'Origin: https://page.example.com\r\n';
  for (const [request, headers] of [
    ['POST /sleep', origin],
    ['GET /workers', origin],
    ['OPTIONS /sleep', `${origin}Access-Control-Request-Method: POST\r\n`],
  ] as const) {
    const response = await send(fleet, request, headers);
    assert.equal(headerValue(response.headers, 'access-control-allow-origin'), undefined, request);
  }
});
