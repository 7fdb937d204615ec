/** Worker and admin routes are for operators: the key decides, or, without one, only this machine is answered. */
import assert from 'node:assert/strict';
import { networkInterfaces } from 'node:os';
import { test } from 'node:test';
import { ADMIN_ROUTES } from '../../src/admin/routes.ts';
import { adminOf } from '../support/admin.ts';
import { startFleet } from '../support/fleet.ts';
import { recordingLog } from '../support/recording-log.ts';
import { ask, headerValue, RawClient } from '../support/raw-client.ts';
import { startRouter, startScriptedWorker } from '../support/scripted-worker.ts';

const KEY = 'the-admin-key-of-this-test';
const ALL = ADMIN_ROUTES.map(({ method, path }) => [method, path.replace('{url}', 'http://w:1')] as const);

test('every route needs the key once there is one', async () => {
  await using fleet = await startFleet({ workers: [], router: { adminApiKey: KEY } });
  const [none, wrong, right] = [adminOf(fleet), adminOf(fleet, `${KEY}x`), adminOf(fleet, KEY)];
  for (const [method, path] of ALL) {
    for (const admin of [none, wrong]) {
      const answer = await admin(method, path);
      assert.deepEqual([answer.status, answer.body.code], [401, 'UNAUTHORIZED'], `${method} ${path}`);
      assert.equal(answer.headers.get('www-authenticate'), 'Bearer');
    }
    assert.ok(![401, 403, 500].includes((await right(method, path)).status), `${method} ${path}`);
    const bearer = await none(method, path, undefined, { authorization: `Bearer ${KEY}` });
    assert.ok(![401, 403, 500].includes(bearer.status), `${method} ${path}`);
  }
});

test('without a key a proxy in front and web pages get nothing', async () => {
  await using fleet = await startFleet({ workers: [] });
  const admin = adminOf(fleet);
  assert.equal((await admin('GET', '/workers')).status, 200);
  for (const headers of [{ 'x-forwarded-for': '203.0.113.7' }, { origin: 'https://page.example.com' }]) {
    for (const [method, path] of ALL) {
      const answer = await admin(method, path, undefined, headers);
      assert.deepEqual([answer.status, answer.body.code], [403, 'FORBIDDEN'], `${method} ${path}`);
    }
  }
  const rebound = await ask(fleet.port, 'GET /workers HTTP/1.1\r\nHost: page.example.com\r\n\r\n');
  assert.equal(rebound.status, 403);
});

test('without a key other machines get nothing', async (t) => {
  const other = Object.values(networkInterfaces())
    .flat()
    .find((address) => address && !address.internal && address.family === 'IPv4');
  if (!other) {
    t.diagnostic(
      'this machine has no address beside the loopback: looked at by src/admin/gate.test.ts alone',
    );
    return;
  }
  await using fleet = await startFleet({ workers: [], router: { host: '0.0.0.0' } });
  const admin = adminOf({ url: `http://${other.address}:${fleet.port}` });
  const answer = await admin('GET', '/workers');
  assert.deepEqual([answer.status, answer.body.code], [403, 'FORBIDDEN']);
  assert.equal((await adminOf(fleet)('GET', '/workers')).status, 200);
});

test('CORS never covers them', async () => {
  await using fleet = await startFleet({
    workers: [],
    router: { adminApiKey: KEY, corsAllowedOrigins: ['https://page.example.com'] },
  });
  const origin = { origin: 'https://page.example.com' };
  const admin = adminOf(fleet, KEY);
  for (const [method, path] of ALL) {
    const answer = await admin(method, path, undefined, origin);
    assert.equal(answer.headers.get('access-control-allow-origin'), null, `${method} ${path}`);
  }
  const preflight = await fetch(`${fleet.url}/workers`, {
    method: 'OPTIONS',
    headers: {
      ...origin,
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'x-admin-key',
    },
  });
  assert.equal(preflight.status, 401);
  assert.equal(preflight.headers.get('access-control-allow-origin'), null);
});

test('nothing under them is ever proxied, in whatever spelling', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker], { router: { proxyOperatorRoutes: true } });
  for (const request of [
    'GET /workers',
    'GET //workers',
    'GET /%77orkers',
    'GET /x/../workers',
    'GET http://host/workers',
    'PATCH /workers',
    'PROPFIND /workers/http%3A%2F%2Fw',
    'GET /workers/http://w:1/a/b/c',
    'GET /workers/%zz',
    'GET /admin',
    'POST /admin/none',
    'GET /%61dmin/stats',
    'DELETE /admin/stats',
    'GET /get_loads/',
    'POST /flush_cache#x',
  ]) {
    const [method = ''] = request.split(' ');
    const head = `${request} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n`;
    const { status } = await ask(fleet.port, `${head}\r\n`, method);
    assert.ok(status < 500 || request.includes('flush_cache'), `${request}: ${status}`);
    const tunnel = `${head}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n`;
    assert.notEqual((await ask(fleet.port, tunnel, method)).status, 101, request);
  }
  assert.deepEqual(
    worker.received
      .map(({ url }) => url)
      .filter((url) => url !== '/metrics' && url !== '/reset_prefix_cache'),
    [],
  );
});

test('a known path with another method says which it has', async () => {
  await using fleet = await startFleet({ workers: [] });
  const admin = adminOf(fleet);
  for (const [method, path, allow] of [
    ['PUT', '/workers', 'POST, GET, HEAD'],
    ['POST', '/workers/http://w', 'GET, HEAD, DELETE'],
    ['GET', '/admin/policy', 'PUT'],
    ['DELETE', '/flush_cache', 'POST'],
  ] as const) {
    const answer = await admin(method, path);
    assert.deepEqual([answer.status, answer.body.code], [405, 'METHOD_NOT_ALLOWED']);
    assert.equal(answer.headers.get('allow'), allow, path);
  }
  for (const path of ['/admin', '/admin/none', '/admin/stats/more']) {
    const answer = await admin('GET', path);
    assert.deepEqual([answer.status, answer.body.code], [404, 'NOT_FOUND']);
    assert.equal(answer.body.error, 'no such route; /admin/openapi.json lists them');
  }
});

test('every action leaves one line that says who did what', async () => {
  const lines: { message: string; fields: Record<string, unknown> }[] = [];
  await using fleet = await startFleet({
    workers: [],
    router: { adminApiKey: KEY },
    log: recordingLog(lines),
  });
  const admin = adminOf(fleet, KEY);
  await admin('GET', '/workers');
  await admin('POST', '/workers', { url: 'http://127.0.0.1:1', api_key: 'secret-of-the-worker' });
  await admin('DELETE', '/workers/http://127.0.0.1:1');
  await admin('PUT', '/admin/policy', 'bad');
  await adminOf(fleet)('GET', '/admin/config');
  const audit = lines.filter(({ message }) => message.startsWith('admin action'));
  assert.deepEqual(
    audit.map(({ message, fields }) => [message, fields['action'], fields['who'], fields['status']]),
    [
      ['admin action', 'worker.add', 'admin_key', 202],
      ['admin action', 'worker.remove', 'admin_key', 202],
      ['admin action refused', 'policy.switch', 'admin_key', 400],
      ['admin action refused', 'none', 'unknown', 401],
    ],
  );
  assert.deepEqual(
    [audit[0]?.fields['target'], audit[0]?.fields['peer'], audit[0]?.fields['outcome']],
    ['http://127.0.0.1:1', '127.0.0.1', 'accepted'],
  );
  assert.match(String(audit[0]?.fields['request_id']), /^req-/);
  assert.ok(!JSON.stringify(lines).includes('secret-of-the-worker'));
  assert.ok(!JSON.stringify(lines).includes(KEY));
});

test('requests on the data path are not held up by a body that never comes', async () => {
  await using fleet = await startFleet({ workers: [], router: { bodyIdleTimeoutSecs: 0.1 } });
  const slow = await ask(
    fleet.port,
    'POST /workers HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"url":',
    'POST',
  );
  assert.equal(slow.status, 408);
  assert.equal(headerValue(slow.headers, 'retry-after'), '1');
  assert.equal(fleet.app.runtime.bodyBytes.held, 0);
});

test('what cannot be read as a request for them is the mistake of whoever sent it', async () => {
  const lines: Parameters<typeof recordingLog>[0] = [];
  await using fleet = await startFleet({ workers: [], log: recordingLog(lines) });
  const head = 'Host: 127.0.0.1\r\n';
  for (const request of [
    `POST /workers HTTP/1.1\r\n${head}Content-Type: no type\r\nContent-Length: 2\r\n\r\n{}`,
    `POST /workers HTTP/1.1\r\n${head}Content-Type: ;\r\nContent-Length: 2\r\n\r\n{}`,
    `GET /workers/${'x'.repeat(5_000)} HTTP/1.1\r\n${head}\r\n`,
    `QUERY /workers HTTP/1.1\r\n${head}Content-Length: 2\r\n\r\n{}`,
  ]) {
    const { status, body } = await ask(fleet.port, request);
    const { code } = JSON.parse(body.toString()) as { code: string };
    assert.deepEqual([status, code], [400, 'INVALID_REQUEST'], request.slice(0, 100));
  }
  assert.ok(!lines.some(({ message }) => message.startsWith('unexpected')));
});

test('a body that is too long is not asked for', async () => {
  await using fleet = await startFleet({ workers: [] });
  const length = 9 * 1024 * 1024;
  await using client = await RawClient.connect(fleet.port);
  client.send(
    `POST /workers HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: 100-continue\r\nContent-Length: ${length}\r\n\r\n`,
  );
  assert.equal((await client.response({ interim: true })).status, 413);
});
