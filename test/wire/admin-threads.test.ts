/** Worker and admin routes are the same wherever their connection is: see `src/admin/exchange.ts`. */
import assert from 'node:assert/strict';
import { networkInterfaces } from 'node:os';
import { test } from 'node:test';
import { VirtualClock } from '../../src/base/virtual-clock.ts';
import { MessageChannel } from 'node:worker_threads';
import { CAUGHT_UP } from '../../src/admin/remote-messages.ts';
import { PortChannel } from '../../src/base/port-channel.ts';
import { ADMIN_ROUTES } from '../../src/admin/routes.ts';
import { adminOf } from '../support/admin.ts';
import { LAYOUTS, startAdminWorld, type AdminWorld } from '../support/admin-layouts.ts';
import { eventually } from '../support/fleet.ts';
import { recordingLog } from '../support/recording-log.ts';
import { ask, headerValue, RawClient, type RawResponse } from '../support/raw-client.ts';

const WORKER = 'http://127.0.0.1:1';
const HEAD = 'Host: 127.0.0.1\r\n';
const REMOTE = LAYOUTS.filter((layout) => layout !== 'one thread');

/** One request for each route with what it needs, then some that are refused by one part or another. */
const SCRIPT: readonly (readonly [request: string, body?: string | undefined, headers?: string])[] = [
  ...ADMIN_ROUTES.map(
    ({ method, path }) => [`${method} ${path.replace('{url}', WORKER).replace('{name}', 'nobody')}`] as const,
  ),
  [`POST /workers`, JSON.stringify({ url: WORKER, labels: { tier: 'a' } })],
  [`POST /workers`, JSON.stringify({ url: WORKER, labels: { tier: 'b' } })],
  [`GET /workers/${encodeURIComponent(WORKER)}`],
  [`GET /workers`],
  [`GET /workers//127.0.0.1:1/metrics`],
  [`POST /admin/drain`, JSON.stringify({ url: WORKER, timeout_secs: 0 })],
  [`GET /admin/drain/status?url=${WORKER}`],
  [`POST /add_worker?url=no-url`],
  [`PUT /admin/policy`, '"random"'],
  [`PUT /admin/policy`, JSON.stringify({ type: 'cache_aware', no_such: 1 })],
  [`GET /admin/config`],
  [`POST /admin/explain`, JSON.stringify({ path: '/v1/chat/completions', body: { model: 'm' } })],
  [`GET /admin/decisions?limit=3&since=2020-01-01T00:00:00Z`],
  [`GET /admin/decisions?limit=none`],
  [`HEAD /admin/stats`],
  [`OPTIONS /admin/stats`],
  [`PATCH /workers`, '{}'],
  [`GET /%61dmin/../admin//stats?x=1#y`],
  [`GET /openapi.json`],
  [`GET /admin/none`],
  [`GET /workers/${'x'.repeat(5_000)}`],
  [`POST /workers`, '{"url":'],
  [`POST /workers`, 'no json', 'Content-Encoding: gzip\r\n'],
  [`POST /workers`, '{}', 'Content-Encoding: none-such\r\n'],
  [`POST /workers`, '{}', 'Content-Type: ;\r\n'],
  [`GET /list_workers`, undefined, 'Connection: close\r\n'],
];

/** Without what differs from one request to the next. */
function masked({ status, statusText, headers, body }: RawResponse): object {
  const names = headers.map(([name, value]) => [name, /^(date|x-request-id)$/i.test(name) ? '*' : value]);
  return { status, statusText, headers: names, text: body.toString() };
}

async function play({ port }: AdminWorld): Promise<readonly (readonly [request: string, answer: object])[]> {
  const answers: [string, object][] = [];
  for (const [request, body, headers = ''] of SCRIPT) {
    const length = body === undefined ? '' : `Content-Length: ${Buffer.byteLength(body)}\r\n`;
    const text = `${request} HTTP/1.1\r\n${HEAD}${headers}${length}\r\n${body ?? ''}`;
    const [method = ''] = request.split(' ');
    answers.push([`${request} ${headers}`, masked(await ask(port, text, method))]);
  }
  return answers;
}

test('every route gives the same bytes in every layout', async () => {
  await using alone = await startAdminWorld('one thread', { clock: new VirtualClock() });
  const expected = await play(alone);
  assert.ok(expected.length > 40);
  for (const layout of REMOTE) {
    await using world = await startAdminWorld(layout, { clock: new VirtualClock() });
    const found = await play(world);
    for (const [at, [request, answer]] of expected.entries())
      assert.deepEqual(found[at], [request, answer], `${layout}: ${request.slice(0, 80)}`);
  }
});

test('the key, and where there is none the connection, decides in every layout', async () => {
  const table = ADMIN_ROUTES.map(
    ({ method, path }) => [method, path.replace('{url}', WORKER).replace('{name}', 'nobody')] as const,
  );
  for (const layout of LAYOUTS) {
    await using far = await startAdminWorld(layout, { peer: '203.0.113.9' });
    await using near = await startAdminWorld(layout);
    await using locked = await startAdminWorld(layout, { router: { adminApiKey: 'secret' } });
    for (const [method, path] of table) {
      const what = `${layout}: ${method} ${path}`;
      const forged = { 'x-admin-key': 'undefined', 'x-real-peer': '127.0.0.1' };
      const stranger = await adminOf(far)(method, path, undefined, forged);
      assert.deepEqual([stranger.status, stranger.body.code], [403, 'FORBIDDEN'], what);
      for (const headers of [{ origin: 'https://page.example.com' }, { 'x-forwarded-for': '127.0.0.1' }]) {
        const page = await adminOf(near)(method, path, undefined, headers);
        assert.deepEqual([page.status, page.body.code], [403, 'FORBIDDEN'], what);
      }
      const keyless = await adminOf(locked)(method, path);
      assert.deepEqual([keyless.status, keyless.body.code], [401, 'UNAUTHORIZED'], what);
      assert.equal(keyless.headers.get('www-authenticate'), 'Bearer');
      const holder = await adminOf(locked, 'secret')(method, path);
      assert.ok(![401, 403, 500].includes(holder.status), `${what}: ${holder.status}`);
    }
  }
});

test('without a key other machines get nothing in any layout', async (t) => {
  const other = Object.values(networkInterfaces())
    .flat()
    .find((address) => address && !address.internal && address.family === 'IPv4');
  if (!other) {
    t.diagnostic('this machine has no address beside the loopback: peers were pretended above');
    return;
  }
  for (const layout of LAYOUTS) {
    await using world = await startAdminWorld(layout, { host: '0.0.0.0' });
    const { status, body } = await adminOf({ url: `http://${other.address}:${world.port}` })(
      'GET',
      '/workers',
    );
    assert.deepEqual([status, body.code], [403, 'FORBIDDEN'], layout);
    assert.equal((await adminOf(world)('GET', '/workers')).status, 200, layout);
  }
});

test('the audit line names the peer that the connection has', async () => {
  for (const layout of LAYOUTS) {
    const lines: { message: string; fields: Record<string, unknown> }[] = [];
    await using world = await startAdminWorld(layout, {
      log: recordingLog(lines),
      peer: '203.0.113.9',
      router: { adminApiKey: 'secret' },
    });
    await adminOf(world, 'secret')('POST', '/workers', { url: WORKER });
    await adminOf(world)('GET', '/workers');
    const audit = lines.filter(({ message }) => message.startsWith('admin action'));
    assert.deepEqual(
      audit.map(({ fields }) => [fields['who'], fields['peer'], fields['status']]),
      [
        ['admin_key', '203.0.113.9', 202],
        ['unknown', '203.0.113.9', 401],
      ],
      layout,
    );
  }
});

test('bodies are bounded, asked for and timed in every layout', async () => {
  for (const layout of LAYOUTS) {
    await using world = await startAdminWorld(layout, { router: { bodyIdleTimeoutSecs: 0.2 } });
    const { bodyBytes } = world.fleet.app.runtime;
    const length = 9 * 1024 * 1024;
    await using expects = await RawClient.connect(world.port);
    expects.send(
      `POST /workers HTTP/1.1\r\n${HEAD}Expect: 100-continue\r\nContent-Length: ${length}\r\n\r\n`,
    );
    assert.equal((await expects.response({ interim: true })).status, 413, layout);

    await using asks = await RawClient.connect(world.port);
    asks.send(`POST /workers HTTP/1.1\r\n${HEAD}Expect: 100-continue\r\nContent-Length: 2\r\n\r\n`);
    assert.equal((await asks.response({ interim: true })).status, 100, layout);
    asks.send('{}');
    assert.equal((await asks.response()).status, 400, layout);

    // Nobody knows its length before there is too much of it.
    await using chunked = await RawClient.connect(world.port);
    const chunk = `${(1024 * 1024).toString(16)}\r\n${'x'.repeat(1024 * 1024)}\r\n`;
    chunked.send(`POST /workers HTTP/1.1\r\n${HEAD}Transfer-Encoding: chunked\r\n\r\n`);
    for (let sent = 0; sent < 9; sent += 1) chunked.send(chunk);
    const refused = await chunked.response();
    assert.deepEqual([refused.status, headerValue(refused.headers, 'connection')], [413, 'close'], layout);

    const slow = await ask(
      world.port,
      `POST /workers HTTP/1.1\r\n${HEAD}Content-Length: 100\r\n\r\n{"url":`,
      'POST',
    );
    assert.equal(slow.status, 408, layout);

    const large = JSON.stringify({ path: '/v1/completions', body: { prompt: 'x'.repeat(4 * 1024 * 1024) } });
    const explained = await adminOf(world)('POST', '/admin/explain', large);
    assert.equal(explained.status, 200, layout);
    assert.equal(bodyBytes.held, 0, layout);
  }
});

test('a client that leaves in the middle leaves nothing behind in any layout', async () => {
  for (const layout of LAYOUTS) {
    await using world = await startAdminWorld(layout);
    const { bodyBytes } = world.fleet.app.runtime;
    const client = await RawClient.connect(world.port);
    client.send(`POST /workers HTTP/1.1\r\n${HEAD}Content-Length: 1000000\r\n\r\n${'x'.repeat(200_000)}`);
    await eventually(() => bodyBytes.held > 0);
    await client[Symbol.asyncDispose]();
    await eventually(() => bodyBytes.held === 0);
    assert.equal((await adminOf(world)('GET', '/workers')).status, 200, layout);
  }
});

test('who switched a policy is answered when it is switched in the threads', async () => {
  await using world = await startAdminWorld('two ends of a port', { workers: [{ models: ['m'] }] });
  const admin = adminOf(world);
  for (const [body, expected] of [
    ['random', ' random'],
    [{ model: 'm', policy: 'round_robin' }, 'm round_robin'],
    [{ model: 'm', policy: null }, 'm back'],
  ] as const) {
    assert.equal((await admin('PUT', '/admin/policy', JSON.stringify(body))).status, 200);
    assert.equal(world.switched.at(-1), expected);
  }
});

test('who changes something is answered when it is so in every thread, and who looks at once', async () => {
  await using world = await startAdminWorld('two ends of a port');
  const { port1, port2 } = new MessageChannel();
  world.channels.add(2, port1);
  const [asked, caughtUp] = [Promise.withResolvers<undefined>(), Promise.withResolvers<true>()];
  new PortChannel(port2).answer(CAUGHT_UP, () => {
    asked.resolve(undefined);
    return caughtUp.promise;
  });
  const admin = adminOf(world);
  let answered = false;
  const put = admin('PUT', '/admin/policy', '"random"').finally(() => (answered = true));
  await asked.promise;
  assert.equal((await admin('GET', '/admin/config')).body.policy.type, 'random');
  assert.ok(!answered);
  caughtUp.resolve(true);
  assert.equal((await put).status, 200);
  port1.close();
});

test('while control is busy its thread goes on with everything else', async () => {
  await using world = await startAdminWorld('a thread of its own');
  await using client = await RawClient.connect(world.port);
  await using operator = await RawClient.connect(world.port);
  // The thread answers the one while this one, which is control, stands still.
  operator.send(`GET /list_workers HTTP/1.1\r\n${HEAD}\r\n`);
  client.send(`GET /something HTTP/1.1\r\n${HEAD}\r\n`);
  await new Promise((resolve) => setImmediate(resolve));
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300);
  assert.equal((await client.response()).status, 204);
  assert.equal((await operator.response()).status, 200);
});

test('when its thread dies in the middle of a request, control forgets it', async () => {
  await using world = await startAdminWorld('a thread of its own');
  const { bodyBytes } = world.fleet.app.runtime;
  await using client = await RawClient.connect(world.port);
  client.send(`POST /workers HTTP/1.1\r\n${HEAD}Content-Length: 1000000\r\n\r\n${'x'.repeat(200_000)}`);
  await eventually(() => bodyBytes.held > 0);
  await world.kill();
  await client.ended();
  await eventually(() => bodyBytes.held === 0);
});
