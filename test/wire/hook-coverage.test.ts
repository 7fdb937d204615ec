/** A check that another route, method or form of body gets around is none: hooks see whatever could carry a prompt. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ENDPOINTS } from '../../src/request/arrive/endpoints.ts';
import { post } from '../support/chat.ts';
import { startFleet, type Fleet } from '../support/fleet.ts';
import { ALLOW, startHook, transform, type HookService } from '../support/hook-service.ts';
import { ask, headerValue, RawClient } from '../support/raw-client.ts';
import { startRouter, startScriptedWorker, type ScriptedWorker } from '../support/scripted-worker.ts';

const HOOKS = 'x-vllm-router-hooks';
const MIB = 1024 * 1024;

interface Guarded extends AsyncDisposable {
  readonly worker: ScriptedWorker;
  readonly hook: HookService;
  readonly fleet: Fleet;
}

/** A worker that answers everything behind a router with one hook. */
async function guarded(
  options: Parameters<typeof startRouter>[1] = {},
  hookOptions: object = {},
): Promise<Guarded> {
  await using starting = new AsyncDisposableStack();
  const hook = starting.use(await startHook());
  const worker = starting.use(
    await startScriptedWorker(undefined, {
      onUpgrade: (_, socket) => {
        socket.end('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
      },
    }),
  );
  const fleet = starting.use(
    await startRouter([worker], {
      ...options,
      router: { ...options.router, preRoutingHooks: [{ name: 'guard', url: hook.url, ...hookOptions }] },
    }),
  );
  const started = starting.move();
  return { worker, hook, fleet, [Symbol.asyncDispose]: () => started.disposeAsync() };
}

const inference = ENDPOINTS.filter(({ class: kind }) => kind === 'inference');

describe('every route of the table', () => {
  let all: Guarded;
  before(async () => {
    all = await guarded();
  });
  after(() => all[Symbol.asyncDispose]());

  test('is there', () => {
    assert.ok(inference.length > 15);
    assert.ok(ENDPOINTS.every(({ class: kind }) => kind === 'inference' || kind === 'local'));
  });

  for (const { paths, methods, body: kind } of inference)
    for (const path of paths)
      for (const method of methods.filter((name) => name !== 'GET' && name !== 'HEAD'))
        test(`is looked at: ${method} ${path} (${kind})`, async () => {
          const { fleet, hook, worker } = all;
          for (const stream of [false, true]) {
            const body = JSON.stringify({ model: 'sim-model', stream, prompt: 'secret', input: 'secret' });
            const url = fleet.url + path.replace('{id}', 'resp_1');
            const id = `${method} ${path} ${stream}`;
            const headers = { 'content-type': 'application/json', 'x-request-id': id };
            const send = (): Promise<Response> => fetch(url, { method, body, headers });
            const before = worker.received.length;
            hook.answer = { action: 'reject', reason: 'seen' };
            const refused = await send();
            assert.equal(refused.status, 403);
            assert.equal(refused.headers.get(HOOKS), 'guard:rejected');
            await refused.text();
            const { route } = await fleet.decision(({ request_id: one }) => one === id);
            assert.deepEqual(
              [hook.last.body.toString(), hook.last.headers['x-vllm-router-route']],
              [body, route],
            );
            assert.equal(worker.received.length, before);
            hook.answer = ALLOW;
            const allowed = await send();
            assert.equal(allowed.status, 200);
            assert.equal(allowed.headers.get(HOOKS), 'guard');
            await allowed.text();
            assert.equal(worker.last.body.toString(), body);
          }
        });
});

describe('whatever is in no row', () => {
  for (const [method, path] of [
    ['POST', '/v1/chat/completions/'],
    ['POST', '/v1//chat/completions'],
    ['PUT', '/v1/chat/completions'],
    ['POST', '/v1/new-thing'],
    ['POST', '/invocations'],
    ['QUERY', '/v1/completions'],
    ['DELETE', '/v1/files/1'],
  ] as const)
    test(`is looked at: ${method} ${path}`, async () => {
      await using all = await guarded();
      const { fleet, hook, worker } = all;
      hook.answer = { action: 'reject' };
      const body = '{"model":"sim-model","prompt":"secret"}';
      const response = await ask(
        fleet.port,
        `${method} ${path} HTTP/1.1\r\nHost: r\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      );
      assert.equal(response.status, 403);
      assert.equal(headerValue(response.headers, HOOKS), 'guard:rejected');
      assert.equal(hook.last.body.toString(), body);
      assert.equal(hook.last.headers['content-type'], 'application/json');
      assert.equal(worker.received.length, 0);
    });

  test('may be transformed where it is JSON', async () => {
    await using all = await guarded({}, { transform: true });
    const { fleet, hook, worker } = all;
    hook.answer = transform(() => ({ prompt: '***' }));
    const response = await post(fleet, '/v1/new-thing', { prompt: 'secret' });
    assert.equal(response.status, 200);
    await response.text();
    assert.equal(worker.last.body.toString(), '{"prompt":"***"}');
    assert.equal(worker.last.headers['content-length'], '16');
  });

  for (const [what, headers, size] of [
    ['announced', { 'content-length': String(3 * MIB) }, 3 * MIB],
    ['chunked', { 'transfer-encoding': 'chunked' }, 2 * MIB],
  ] as const)
    test(`is held whole however large: ${what}`, async () => {
      await using all = await guarded();
      const { fleet, hook, worker } = all;
      const body = Buffer.alloc(size, 'prompt ');
      await using client = await RawClient.connect(fleet.port);
      const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
      client.send(
        `POST /v1/upload HTTP/1.1\r\nHost: r\r\nContent-Type: text/x-mine\r\n${lines.join('')}\r\n`,
      );
      if (what === 'chunked') client.send(`${size.toString(16)}\r\n`);
      client.send(body);
      if (what === 'chunked') client.send('\r\n0\r\n\r\n');
      const response = await client.response();
      assert.equal(response.status, 200);
      assert.ok(hook.last.body.equals(body));
      assert.equal(hook.last.headers['content-type'], 'text/x-mine');
      assert.ok(worker.last.body.equals(body));
    });

  test('is refused where it is too large to be held', async () => {
    await using all = await guarded({ router: { maxInflightBodyBytes: 2 * MIB } });
    const { fleet, hook, worker } = all;
    const response = await fetch(`${fleet.url}/v1/upload`, { method: 'POST', body: Buffer.alloc(3 * MIB) });
    assert.equal(response.status, 503);
    await response.text();
    assert.deepEqual([hook.calls.length, worker.received.length], [0, 0]);
  });
});

describe('a form', () => {
  for (const bytes of [1_000, 3 * MIB])
    test(`of ${bytes} bytes is looked at as it is, and cannot be transformed`, async () => {
      await using all = await guarded({}, { transform: true, onError: 'block' });
      const { fleet, hook, worker } = all;
      const send = (): Promise<Response> => {
        const form = new FormData();
        form.append('file', new Blob([Buffer.alloc(bytes, 'RIFF')]), 'speech.wav');
        form.append('model', 'sim-model');
        form.append('prompt', 'secret words');
        return fetch(`${fleet.url}/v1/audio/transcriptions`, { method: 'POST', body: form });
      };
      const allowed = await send();
      assert.equal(allowed.status, 200);
      await allowed.text();
      assert.match(hook.last.headers['content-type'] ?? '', /^multipart\/form-data; boundary=/);
      assert.ok(hook.last.body.includes('secret words'));
      assert.equal(hook.last.headers['x-vllm-router-model'], 'sim-model');
      assert.ok(worker.last.body.equals(hook.last.body));
      hook.answer = { action: 'transform', body: { prompt: '***' } };
      const changed = await send();
      assert.equal(changed.status, 502, 'the words that were to be hidden must not reach a worker');
      await changed.text();
      assert.equal(changed.headers.get(HOOKS), 'guard:error');
      assert.equal(worker.received.length, 1);
    });
});

describe('a body that says two things', () => {
  for (const body of [
    '{"model":"sim-model","model":"other","messages":[]}',
    '{"model":"sim-model","stream":false,"str\\u0065am":true,"messages":[]}',
  ])
    test(`is refused: ${body}`, async () => {
      await using all = await guarded();
      const { fleet, hook } = all;
      const response = await fetch(`${fleet.url}/v1/chat/completions`, { method: 'POST', body });
      assert.equal(response.status, 400);
      assert.equal(((await response.json()) as { error: { code: string } }).error.code, 'duplicate_field');
      assert.equal(hook.calls.length, 0);
    });
});

test('requests without a body, and the router’s own answers, have nothing to look at', async () => {
  await using all = await guarded();
  const { fleet, hook } = all;
  for (const [method, path] of [
    ['GET', '/v1/models'],
    ['GET', '/v1/responses/resp_1'],
    ['DELETE', '/v1/responses/resp_1'],
    ['GET', '/v1/new-thing'],
    ['POST', '/v1/new-thing'],
    ['GET', '/health'],
  ] as const) {
    const response = await fetch(fleet.url + path, { method });
    assert.equal(response.status, 200);
    assert.equal(response.headers.get(HOOKS), null);
    await response.text();
  }
  assert.equal(hook.calls.length, 0);
});

test('operator routes pass by hooks with the admin key only', async () => {
  await using all = await guarded({ router: { proxyOperatorRoutes: true, adminApiKey: 'boss' } });
  const { fleet, hook } = all;
  const send = (headers: Record<string, string>): Promise<Response> =>
    fetch(`${fleet.url}/collective_rpc`, { method: 'POST', body: '{"method":"x"}', headers });
  await (await send({ 'x-admin-key': 'boss' })).text();
  assert.equal(hook.calls.length, 0);
  const prompt = { prompt: 'x' };
  await (await post(fleet, '/v1/new-thing', prompt, { headers: { 'x-admin-key': 'boss' } })).text();
  assert.equal(hook.calls.length, 1, 'the key opens no other route');
  hook.answer = { action: 'reject' };
  const response = await send({});
  assert.equal(response.status, 403);
  await response.text();
});

const HANDSHAKE =
  'GET /v1/realtime HTTP/1.1\r\nHost: r\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n';

test('a tunnel is refused, since nobody can look into it', async () => {
  await using all = await guarded();
  const { fleet, worker } = all;
  const response = await ask(fleet.port, HANDSHAKE);
  assert.equal(response.status, 403);
  assert.match(response.body.toString(), /hook_cannot_inspect/);
  assert.equal(worker.received.length, 0);
});

test('a tunnel passes where every hook lets it', async () => {
  await using all = await guarded({}, { tunnels: 'pass' });
  const response = await ask(all.fleet.port, HANDSHAKE);
  assert.equal(response.status, 101);
  assert.equal(all.hook.calls.length, 0);
});

test('without hooks nothing is held for them', async () => {
  await using fleet = await startFleet();
  const response = await post(fleet, '/v1/completions', { model: 'sim-model', prompt: 'x', max_tokens: 1 });
  await response.text();
  assert.equal(response.headers.get(HOOKS), null);
  const decision = await fleet.decision();
  assert.deepEqual([decision.hooks_ran, decision.hooks_ms], [undefined, undefined]);
});
