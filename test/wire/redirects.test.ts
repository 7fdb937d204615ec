/** A worker that sends clients elsewhere does not send them past the router. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ask, headerValue } from '../support/raw-client.ts';
import { eventually, startFleet, type Fleet } from '../support/fleet.ts';
import { startScriptedWorker } from '../support/scripted-worker.ts';

interface Redirecting extends AsyncDisposable {
  readonly fleet: Fleet;
  /** The answering worker's authority. */
  readonly own: string;
  location: string;
  status: number;
}

async function redirecting(prefix = '', others: readonly string[] = []): Promise<Redirecting> {
  await using starting = new AsyncDisposableStack();
  const says = { location: '', status: 307 };
  const worker = starting.use(
    await startScriptedWorker(
      (response) =>
        response.writeHead(says.status, { Location: says.location, 'X-Other': says.location }).end(),
      { prefix },
    ),
  );
  const extraWorkerUrls = [worker.url, ...others];
  const fleet = starting.use(await startFleet({ workers: [], extraWorkerUrls, waitForWorkers: false }));
  await eventually(() => fleet.app.runtime.registry.workers.some(({ health }) => health.healthy));
  const started = starting.move();
  return Object.assign(says, {
    fleet,
    own: new URL(worker.url).host,
    [Symbol.asyncDispose]: () => started.disposeAsync(),
  });
}

async function seen(all: Redirecting, location: string): Promise<string | undefined> {
  all.location = location;
  const answer = await ask(
    all.fleet.port,
    'GET /v1/thing/ HTTP/1.1\r\nHost: router\r\nX-Forwarded-Host: evil.example\r\n\r\n',
  );
  assert.equal(answer.status, all.status);
  assert.equal(headerValue(answer.headers, 'x-other'), location, 'no other header is touched');
  return headerValue(answer.headers, 'location');
}

test('a Location at the worker becomes a path, on whatever status', async () => {
  await using all = await redirecting();
  const { own } = all;
  for (const [given, expected] of [
    [`http://${own}/v1/thing`, '/v1/thing'],
    [`HTTP://${own.toUpperCase()}/v1/thing?a=%2F&b=//#f`, '/v1/thing?a=%2F&b=//#f'],
    [`//${own}/v1/thing`, '/v1/thing'],
    [`http://user:pw@${own}/x`, '/x'],
    [`https://${own}/x`, '/x'],
    [`http://${own}`, '/'],
    [`http://${own}?a=1`, '/?a=1'],
    [`http://${own}//evil.example/x`, '/evil.example/x'],
    [`http://${own}/\\evil.example`, '/evil.example'],
    ['/v1/thing', '/v1/thing'],
    ['../thing?x=http://a/', '../thing?x=http://a/'],
    ['http://elsewhere.example/v1', 'http://elsewhere.example/v1'],
    [`http://${own}.evil.example/`, `http://${own}.evil.example/`],
    [`http://${own}@evil.example/`, `http://${own}@evil.example/`],
    [`http://${own.split(':')[0] ?? ''}/`, `http://${own.split(':')[0] ?? ''}/`],
    ['http://[bad', 'http://[bad'],
    ['ftp://x/', 'ftp://x/'],
  ] as const)
    for (const status of given.length % 2 === 0 ? [307, 201] : [302, 404]) {
      all.status = status;
      assert.equal(await seen(all, given), expected, given);
    }
});

test('a Location at any other registered worker, too, however its address is spelt', async () => {
  await using all = await redirecting('', [
    'http://[::1]:9',
    'http://Worker.Example:80',
    'https://tls.example',
  ]);
  for (const [given, expected] of [
    ['http://[0:0:0:0:0:0:0:1]:9/x', '/x'],
    ['http://worker.example/x', '/x'],
    ['http://WORKER.EXAMPLE:80/x', '/x'],
    ['https://tls.example:443/x', '/x'],
    // uvicorn behind something that ends TLS.
    ['http://tls.example/x', '/x'],
    ['http://worker.example:81/x', 'http://worker.example:81/x'],
  ] as const)
    assert.equal(await seen(all, given), expected, given);
});

test('the path prefix of a worker is taken away', async () => {
  await using all = await redirecting('/team-a');
  const { own } = all;
  for (const [given, expected] of [
    [`http://${own}/team-a/v1/x?y`, '/v1/x?y'],
    [`http://${own}/team-a`, '/'],
    [`http://${own}/team-a?y`, '/?y'],
    [`http://${own}/team-ab/x`, '/team-ab/x'],
    ['/team-a/v1/x', '/v1/x'],
    ['/team-a//evil.example', '/evil.example'],
    ['/other', '/other'],
  ] as const)
    assert.equal(await seen(all, given), expected, given);
});
