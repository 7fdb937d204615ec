/** Keys that other services know: asked once, believed for a while, and never doubted because nobody answered. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { VirtualClock } from '../../src/base/virtual-clock.ts';
import { chat, post, CHAT } from '../support/chat.ts';
import { advanceUntil, eventually, startFleet, type Fleet } from '../support/fleet.ts';
import { scrape } from '../support/metrics.ts';
import { valuesOf, startRouter, startScriptedWorker } from '../support/scripted-worker.ts';

interface KeyService extends AsyncDisposable {
  readonly url: string;
  /** Keys it was asked about, oldest first. */
  readonly asked: string[];
  /** Connections it has seen. */
  readonly connections: () => number;
  /** Status for a key; 'none' = it never answers, 'cut' = it breaks the connection off. */
  answer: (key: string) => number | 'none' | 'cut';
}

async function startService(answer: KeyService['answer']): Promise<KeyService> {
  let connections = 0;
  const asked: string[] = [];
  const listener: RequestListener = (request, response) => {
    const [token = ''] = valuesOf(request.rawHeaders, 'authorization');
    const key = token.replace(/^Bearer /, '');
    asked.push(key);
    const verdict = service.answer(key);
    if (verdict === 'cut') request.socket.destroy();
    else if (verdict !== 'none') response.writeHead(verdict).end('{}');
  };
  const server = createServer(listener);
  server.on('connection', () => (connections += 1));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const service: KeyService = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/validate?for=router`,
    asked,
    connections: () => connections,
    answer,
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      if (server.listening) await once(server, 'close');
    },
  };
  return service;
}

const good = (key: string): number => (key.startsWith('good') ? 200 : 401);

const withKey = (key: string): RequestInit => ({ headers: { authorization: `Bearer ${key}` } });

async function ask(fleet: Fleet, key: string): Promise<[number, string | undefined]> {
  const response = await chat(fleet, {}, withKey(key));
  const body = (await response.json()) as { error?: { code?: string } };
  return [response.status, body.error?.code];
}

const OK = [200, undefined];
const REFUSED = [401, 'invalid_api_key'];
const UNAVAILABLE = [503, 'key_validation_unavailable'];

test('a good key, a bad one, and none', async () => {
  await using service = await startService(good);
  await using fleet = await startFleet({ workers: [{}], router: { apiKeyValidationUrls: [service.url] } });
  assert.deepEqual(await ask(fleet, 'good-1'), OK);
  assert.deepEqual(await ask(fleet, 'bad'), REFUSED);
  const missing = await chat(fleet);
  assert.equal(missing.status, 401);
  assert.deepEqual(service.asked, ['good-1', 'bad']);
  // The same for Anthropic's clients.
  assert.equal((await post(fleet, '/v1/messages', CHAT, { headers: { 'x-api-key': 'good-1' } })).status, 200);
});

test('workers do not get the key', async () => {
  await using service = await startService(good);
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker], { router: { apiKeyValidationUrls: [service.url] } });
  assert.equal((await chat(fleet, {}, withKey('good'))).status, 200);
  assert.equal(worker.last.headers.authorization, undefined);
});

test('an answer is believed for its time, and a revoked key not for longer', async () => {
  const clock = new VirtualClock();
  await using service = await startService(good);
  await using fleet = await startFleet({
    workers: [{}],
    clock,
    router: { apiKeyValidationUrls: [service.url], apiKeyValidationTtlSecs: 30 },
  });
  for (let turn = 0; turn < 3; turn += 1) assert.deepEqual(await ask(fleet, 'good'), OK);
  for (let turn = 0; turn < 3; turn += 1) assert.deepEqual(await ask(fleet, 'bad'), REFUSED);
  assert.deepEqual(service.asked, ['good', 'bad']);
  service.answer = (key) => (key === 'bad' ? 200 : 403);
  clock.advance(9_999);
  assert.deepEqual(await ask(fleet, 'bad'), REFUSED);
  clock.advance(1);
  // A key that has become good is let in after 10 s at most.
  assert.deepEqual(await ask(fleet, 'bad'), OK);
  clock.advance(19_999);
  assert.deepEqual(await ask(fleet, 'good'), OK);
  clock.advance(1);
  assert.deepEqual(await ask(fleet, 'good'), REFUSED);
});

test('without a time to believe it every request is asked about', async () => {
  await using service = await startService(good);
  await using fleet = await startFleet({
    workers: [{}],
    router: { apiKeyValidationUrls: [service.url], apiKeyValidationTtlSecs: 0 },
  });
  for (let turn = 0; turn < 3; turn += 1) assert.deepEqual(await ask(fleet, 'good'), OK);
  assert.equal(service.asked.length, 3);
  // On one connection.
  assert.equal(service.connections(), 1);
});

test('a crowd with one key makes one question', async () => {
  await using service = await startService(good);
  await using fleet = await startFleet({ router: { apiKeyValidationUrls: [service.url] } });
  const outcomes = await Promise.all(Array.from({ length: 100 }, () => ask(fleet, 'good')));
  assert.ok(outcomes.every(([status]) => status === 200));
  assert.deepEqual(service.asked, ['good']);
});

test('a service that fails, breaks off or is not there: 503, and nothing is remembered of it', async () => {
  await using service = await startService(() => 500);
  await using fleet = await startFleet({ workers: [{}], router: { apiKeyValidationUrls: [service.url] } });
  for (const answer of [500, 502, 'cut', 302, 404, 429] as const) {
    service.answer = () => answer;
    assert.deepEqual(await ask(fleet, 'good'), UNAVAILABLE, String(answer));
  }
  const response = await chat(fleet, {}, withKey('good'));
  assert.equal(response.headers.get('retry-after'), '1');
  service.answer = good;
  assert.deepEqual(await ask(fleet, 'good'), OK);
  await service[Symbol.asyncDispose]();
  assert.deepEqual(await ask(fleet, 'good'), OK);
  assert.deepEqual(await ask(fleet, 'good-2'), UNAVAILABLE);
  const metrics = await scrape(fleet);
  assert.equal(metrics.value('vllm_router_auth_failures_total', { reason: 'key_validation_unavailable' }), 8);
});

test('a service that does not answer: 503 when its time is up; who leaves before is let go', async () => {
  const clock = new VirtualClock();
  await using service = await startService(() => 'none');
  await using fleet = await startFleet({
    workers: [{}],
    clock,
    router: { apiKeyValidationUrls: [service.url], apiKeyValidationTimeoutSecs: 2 },
  });
  const controller = new AbortController();
  const leaving = chat(fleet, {}, { ...withKey('good'), signal: controller.signal });
  const staying = ask(fleet, 'good');
  await eventually(() => service.asked.length === 1);
  controller.abort();
  await assert.rejects(leaving);
  const { status } = await fleet.decision();
  assert.equal(status, 499);
  clock.advance(1_999);
  assert.equal(service.asked.length, 1);
  assert.deepEqual(await advanceUntil(clock, 1, staying), UNAVAILABLE);
  // The next one asks anew.
  service.answer = good;
  assert.deepEqual(await ask(fleet, 'good'), OK);
  assert.equal(service.asked.length, 2);
});

test('of several services one acceptance is enough, and a refusal takes all', async () => {
  await using first = await startService((key) => (key === 'first' ? 200 : 401));
  await using second = await startService((key) => (key === 'second' ? 200 : 403));
  await using fleet = await startFleet({
    workers: [{}],
    router: { apiKeyValidationUrls: [first.url, second.url] },
  });
  assert.deepEqual(await ask(fleet, 'first'), OK);
  assert.deepEqual(await ask(fleet, 'second'), OK);
  assert.deepEqual(await ask(fleet, 'third'), REFUSED);
  second.answer = () => 500;
  // The second one may have known it.
  assert.deepEqual(await ask(fleet, 'fourth'), UNAVAILABLE);
  first.answer = () => 200;
  assert.deepEqual(await ask(fleet, 'fourth'), OK);
  // The slow one is not waited for.
  second.answer = () => 'none';
  assert.deepEqual(await ask(fleet, 'fifth'), OK);
});

test('keys or a key of the router’s own go before the services', async () => {
  await using service = await startService(() => 200);
  for (const own of [{ inboundApiKey: 'own' }, { apiKeys: [{ name: 'a', key: 'own' }] }]) {
    await using fleet = await startFleet({
      workers: [{}],
      router: { apiKeyValidationUrls: [service.url], ...own },
    });
    assert.deepEqual(await ask(fleet, 'own'), OK);
    assert.deepEqual(await ask(fleet, 'other'), REFUSED);
  }
  assert.equal(service.asked.length, 0);
});
