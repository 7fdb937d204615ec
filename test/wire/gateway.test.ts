/** Many models behind one address: `--enable-igw`, models with policies of their own, workers that come and go. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import type { Log } from '../../src/observe/log.ts';
import { silentLog } from '../../src/observe/log.ts';
import { startSimWorker } from '../../src/sim/server/server.ts';
import { adminOf, settledWorker } from '../support/admin.ts';
import { chat, CHAT, post, workerOf } from '../support/chat.ts';
import { answeringWorkers, assertSent } from '../support/fleet-shape.ts';
import { eventually, settledAt, startFleet, type Fleet } from '../support/fleet.ts';
import { startRouter, startScriptedWorker } from '../support/scripted-worker.ts';

const GATEWAY = { enableIgw: true } as const;

async function errorOf(answer: Promise<Response>): Promise<readonly [number, string]> {
  const response = await answer;
  const { error } = JSON.parse(await response.text()) as { readonly error: { readonly code: string } };
  return [response.status, error.code];
}

function policyOf(response: Response): string | null {
  return response.headers.get('x-vllm-router-policy');
}

async function modelsOf(fleet: Fleet): Promise<string[]> {
  const response = await fetch(`${fleet.url}/v1/models`);
  assert.equal(response.status, 200);
  return ((await response.json()) as { readonly data: { readonly id: string }[] }).data.map(({ id }) => id);
}

/** A fleet whose workers join through the API. */
async function register(
  fleet: Fleet,
  body: Readonly<Record<string, unknown>> & { readonly url: string },
): Promise<void> {
  const admin = adminOf(fleet);
  const added = await admin('POST', '/workers', body);
  assert.equal(added.status, 202, JSON.stringify(added.body));
  assert.equal((await settledWorker(admin, body.url)).body.is_healthy, true);
}

test('two workers with a model each and a policy label join an empty gateway, and both serve', async () => {
  const [a, b] = await Promise.all([
    startSimWorker({ models: ['qwen3-8b'], timeScale: 0 }),
    startSimWorker({ models: ['llama3'], timeScale: 0 }),
  ]);
  await using fleet = await startFleet({ workers: [], router: { ...GATEWAY, policy: 'cache_aware' } });
  assert.deepEqual(await modelsOf(fleet), []);
  assert.equal((await fetch(`${fleet.url}/readiness`)).status, 503);
  await register(fleet, { url: a.url, model_id: 'qwen3-8b', priority: 10, labels: { tier: 'gold' } });
  await register(fleet, {
    url: b.url,
    model_id: 'llama3',
    priority: 20,
    labels: { policy: 'power_of_two', tier: 'silver' },
  });
  assert.equal((await fetch(`${fleet.url}/readiness`)).status, 200);
  assert.deepEqual((await modelsOf(fleet)).sort(), ['llama3', 'qwen3-8b']);
  const [qwen, llama] = [await chat(fleet, { model: 'qwen3-8b' }), await chat(fleet, { model: 'llama3' })];
  assert.deepEqual([workerOf(qwen), policyOf(qwen)], [a.url, 'cache_aware']);
  assert.deepEqual([workerOf(llama), policyOf(llama)], [b.url, 'power_of_two']);
  const admin = adminOf(fleet);
  assert.deepEqual((await admin('GET', '/admin/stats')).body.policies, {
    ...{ default: 'cache_aware', prefill: 'cache_aware', decode: 'cache_aware' },
    per_model: { llama3: 'power_of_two' },
  });
  const { body } = await admin('GET', '/workers');
  assert.deepEqual(
    body.workers.map(({ model_id: model, priority, policy }: Record<string, unknown>) => [
      model,
      priority,
      policy,
    ]),
    [
      ['qwen3-8b', 10, 'cache_aware'],
      ['llama3', 20, 'power_of_two'],
    ],
  );
  assert.equal(body.stats.total_models, 2);
  await fleet.stop();
  await Promise.all([a.stop(), b.stop()]);
});

test('policies of models have their own turns, and a decision says whose it was', async () => {
  const models = ['a', 'b', 'c'];
  await using fleet = await startFleet({
    workers: [{ models }, { models }],
    router: { policy: 'random', modelPolicies: { a: 'round_robin', 'b*': { type: 'round_robin' } } },
  });
  const [first, second] = fleet.workers.map(({ url }) => url);
  const turns: (string | null)[] = [];
  for (const model of ['a', 'b', 'a', 'b']) turns.push(workerOf(await chat(fleet, { model })));
  assert.deepEqual(turns, [first, first, second, second]);
  assert.equal(policyOf(await chat(fleet, { model: 'c' })), 'random');
  const { policy, cache_source: source } = await fleet.decision(({ model }) => model === 'a');
  assert.deepEqual([policy, source], ['round_robin', 'none']);
});

test('one index serves every policy that looks at it, and only their requests are written into it', async () => {
  const models = ['warm', 'blind'];
  await using fleet = await startFleet({
    workers: [{ models }, { models }],
    router: { policy: 'round_robin', modelPolicies: { warm: 'cache_aware' } },
  });
  const content = 'the same long prompt '.repeat(100);
  const ask = (model: string): Promise<Response> =>
    chat(fleet, { model, messages: [{ role: 'user', content }] });
  const home = workerOf(await ask('warm'));
  const entries = (): number => fleet.app.runtime.cacheIndex?.entries ?? 0;
  await eventually(() => entries() > 0);
  const before = entries();
  await ask('blind');
  assert.equal(await settledAt(entries), before);
  for (let i = 0; i < 3; i += 1) assert.equal(workerOf(await ask('warm')), home);
  const warm = await fleet.decision(({ model }) => model === 'warm');
  assert.deepEqual([warm.reason, warm.cache_source], ['warmest', 'predicted']);
  const blind = await fleet.decision(({ model }) => model === 'blind');
  assert.deepEqual([blind.policy, blind.cache_source], ['round_robin', 'none']);
});

test('a policy label that names none, or another than the first worker’s, is said and harms nobody', async () => {
  const lines: string[] = [];
  const log: Log = { ...silentLog, warn: (_fields, message) => lines.push(message) };
  const sims = await Promise.all([0, 1, 2].map(() => startSimWorker({ models: ['m'], timeScale: 0 })));
  await using fleet = await startFleet({ workers: [], router: { ...GATEWAY, policy: 'random' }, log });
  const admin = adminOf(fleet);
  const labels = ['fastest', 'round_robin', 'least_work'];
  for (const [index, sim] of sims.entries()) {
    const added = await admin('POST', '/workers', { url: sim.url, labels: { policy: labels[index] } });
    const expected = index === 0 ? [/there is no policy "fastest"/] : [];
    assert.equal(added.body.notices.length, expected.length);
    for (const [at, pattern] of expected.entries()) assert.match(added.body.notices[at], pattern);
    await settledWorker(admin, sim.url);
  }
  assert.equal(policyOf(await chat(fleet, { model: 'm' })), 'round_robin');
  const notices = (await admin('GET', '/workers')).body.workers.map(
    (worker: { readonly notices: string[] }) => worker.notices.length,
  );
  assert.deepEqual(notices, [1, 0, 1]);
  assert.ok(lines.some((line) => line.includes('there is no policy "fastest"')));
  assert.ok(lines.some((line) => line.includes('least_work has no effect on m')));
  await fleet.stop();
  await Promise.all(sims.map((sim) => sim.stop()));
});

test('a model that nobody serves is 404, and requests for it reach no worker', async () => {
  await using worker = await startScriptedWorker(undefined, { models: ['m'] });
  await using fleet = await startRouter([worker], { router: GATEWAY });
  assert.deepEqual(await errorOf(chat(fleet, { model: 'nobody-has-it' })), [404, 'model_not_found']);
  assert.deepEqual(worker.received, []);
  await using lax = await startRouter([worker], { router: { ...GATEWAY, unknownModel: 'pass' } });
  assert.equal((await chat(lax, { model: 'nobody-has-it' })).status, 200);
});

test('as long as nobody has told a model none is unknown: 503, which can be tried again', async () => {
  await using fleet = await startFleet({ workers: [], router: GATEWAY });
  const response = await chat(fleet, { model: 'm' });
  assert.deepEqual([response.status, response.headers.get('retry-after')], [503, '1']);
});

test('a model whose workers are all unhealthy is 503, not 404: it is known', async () => {
  await using fleet = await startFleet({
    workers: [{ models: ['a'] }, { models: ['b'] }],
    router: { ...GATEWAY, healthCheck: { checkIntervalSecs: 0.05, failureThreshold: 1 } },
  });
  await fleet.workers[0]?.setFaults(['refuse']);
  const [worker] = answeringWorkers(fleet);
  await eventually(() => worker?.health.healthy === false);
  assert.deepEqual(await errorOf(chat(fleet, { model: 'a' })), [503, 'no_worker_available']);
  assert.deepEqual((await modelsOf(fleet)).sort(), ['a', 'b']);
});

test('a model whose last worker has left is unknown again', async () => {
  await using fleet = await startFleet({
    workers: [{ models: ['a'] }, { models: ['b'] }],
    onlyRegular: 'a model is known as long as its worker for prefill is there',
    router: GATEWAY,
  });
  const { registry } = fleet.app.runtime;
  const [first] = registry.workers;
  assert.ok(first);
  registry.remove(first);
  assert.deepEqual(await errorOf(chat(fleet, { model: 'a' })), [404, 'model_not_found']);
});

test('a model is known from the moment that its worker is being registered', async () => {
  await using fleet = await startFleet({ workers: [{ models: ['other'] }], router: GATEWAY });
  const admin = adminOf(fleet);
  assert.deepEqual(await errorOf(chat(fleet, { model: 'm' })), [404, 'model_not_found']);
  const url = 'http://127.0.0.1:9';
  assert.equal((await admin('POST', '/workers', { url, model_id: 'm' })).status, 202);
  assert.deepEqual(await errorOf(chat(fleet, { model: 'm' })), [503, 'no_worker_available']);
  await admin('DELETE', `/workers/${url}`);
  await eventually(() => !fleet.app.runtime.registry.knows('m'));
  assert.deepEqual(await errorOf(chat(fleet, { model: 'm' })), [404, 'model_not_found']);
});

test('a request without a model means the only one, and must say which where there are several', async () => {
  await using fleet = await startFleet({
    workers: [{ models: ['only'] }],
    router: GATEWAY,
  });
  const { model: _, ...without } = CHAT;
  const response = await post(fleet, '/v1/chat/completions', without);
  assert.deepEqual([response.status, response.headers.get('x-vllm-router-model')], [200, 'only']);
  const seen = fleet.workers[0]?.seen.findLast(({ method }) => method === 'POST');
  assertSent(seen?.body, JSON.stringify(without));
  await using two = await startFleet({ workers: [{ models: ['a'] }, { models: ['b'] }], router: GATEWAY });
  assert.deepEqual(await errorOf(post(two, '/v1/chat/completions', without)), [400, 'model_required']);
  assert.deepEqual(await errorOf(post(two, '/v1/embeddings', { input: 'x' })), [400, 'model_required']);
  const continued = { ...without, previous_response_id: 'resp_1' };
  assert.deepEqual(
    await errorOf(post(two, '/v1/chat/completions', continued)),
    [400, 'model_required'],
    'only a response can be continued',
  );
  // What has no model needs none.
  assert.equal((await post(two, '/some/other/route', { x: 1 })).status, 404);
  await using lax = await startFleet({ workers: [{ models: ['a'] }, { models: ['b'] }] });
  assert.equal((await post(lax, '/v1/chat/completions', without)).status, 200);
  await using none = await startFleet({ workers: [], router: GATEWAY });
  assert.deepEqual(await errorOf(post(none, '/v1/chat/completions', without)), [400, 'model_required']);
});

for (const bytes of [1_000, 2_000_000]) {
  test(`a form of ${bytes} bytes must name its model, too`, async () => {
    await using fleet = await startFleet({
      workers: [{ models: ['whisper-a', 'whisper-b'] }],
      router: { ...GATEWAY, modelPolicies: { 'whisper-b': 'least_work' }, policy: 'random' },
    });
    const send = (model: string | undefined): Promise<Response> => {
      const form = new FormData();
      form.append('file', new Blob([Buffer.alloc(bytes, 'RIFF')]), 'speech.wav');
      if (model !== undefined) form.append('model', model);
      return fetch(`${fleet.url}/v1/audio/transcriptions`, { method: 'POST', body: form });
    };
    assert.deepEqual(await errorOf(send(undefined)), [400, 'model_required']);
    const response = await send('whisper-b');
    assert.deepEqual([response.status, policyOf(response)], [200, 'least_work']);
    await response.text();
  });
}

test('a worker serves several models and an adapter that is loaded later, each with its policy', async () => {
  await using fleet = await startFleet({
    workers: [{ models: ['base', 'alias'] }, { models: ['other'] }],
    router: {
      ...GATEWAY,
      policy: 'random',
      modelPolicies: { 'my-*': 'round_robin' },
      healthCheck: { checkIntervalSecs: 0.05 },
    },
  });
  const [first] = fleet.workers;
  assert.ok(first);
  for (const model of ['base', 'alias']) assert.equal(workerOf(await chat(fleet, { model })), first.url);
  assert.deepEqual(await errorOf(chat(fleet, { model: 'my-adapter' })), [404, 'model_not_found']);
  await fetch(`${first.url}/v1/load_lora_adapter`, {
    method: 'POST',
    body: '{"lora_name":"my-adapter","lora_path":"/p"}',
  });
  await eventually(() => fleet.app.runtime.registry.knows('my-adapter'));
  const adapter = await chat(fleet, { model: 'my-adapter' });
  assert.deepEqual([workerOf(adapter), policyOf(adapter)], [first.url, 'round_robin']);
  await fetch(`${first.url}/v1/unload_lora_adapter`, { method: 'POST', body: '{"lora_name":"my-adapter"}' });
  await eventually(() => !fleet.app.runtime.registry.knows('my-adapter'));
  assert.deepEqual(await errorOf(chat(fleet, { model: 'my-adapter' })), [404, 'model_not_found']);
});

test('a worker of the file that does not list its model is told of, and serves what it lists', async () => {
  const lines: object[] = [];
  const log: Log = { ...silentLog, warn: (fields, message) => lines.push({ message, ...fields }) };
  await using worker = await startScriptedWorker(undefined, { models: ['real'] });
  await using fleet = await startFleet({
    workers: [],
    router: { ...GATEWAY, workers: [{ url: worker.url, model_id: 'claimed', priority: 3 }] },
    log,
  });
  assert.equal((await chat(fleet, { model: 'real' })).status, 200);
  assert.deepEqual(await errorOf(chat(fleet, { model: 'claimed' })), [404, 'model_not_found']);
  assert.ok(lines.some((line) => /does not list the model/.test(JSON.stringify(line))));
  const view = (await adminOf(fleet)('GET', `/workers/${worker.url}`)).body;
  assert.deepEqual([view.model_id, view.priority, view.source], ['claimed', 3, 'config']);
  // The same again is no conflict; something else is.
  const again = { url: worker.url, model_id: 'claimed', priority: 3 };
  assert.equal((await adminOf(fleet)('POST', '/workers', again)).status, 200);
  assert.equal((await adminOf(fleet)('POST', '/workers', { url: worker.url })).status, 409);
});

test('an engine that has no list of models serves the one it was registered for', async () => {
  const engine = createServer((request, response) => {
    const known = request.url === '/health' || request.method === 'POST';
    request.resume().once('end', () => response.writeHead(known ? 200 : 404).end('{}'));
  });
  engine.listen(0, '127.0.0.1');
  await once(engine, 'listening');
  const url = `http://127.0.0.1:${(engine.address() as AddressInfo).port}`;
  await using fleet = await startFleet({
    workers: [],
    router: { ...GATEWAY, workers: [{ url, model_id: 'm' }] },
  });
  assert.deepEqual(await modelsOf(fleet), ['m']);
  assert.equal((await chat(fleet, { model: 'm' })).status, 200);
  assert.deepEqual(await errorOf(chat(fleet, { model: 'other' })), [404, 'model_not_found']);
  await fleet.stop();
  engine.closeAllConnections();
  engine.close();
});

test('the policy of one model is switched and switched back while requests run', async () => {
  const models = ['a', 'b'];
  await using fleet = await startFleet({
    workers: [{ models }, { models }],
    router: { policy: 'random', modelPolicies: { a: 'round_robin' } },
  });
  const admin = adminOf(fleet);
  const policies = async (): Promise<(string | null)[]> => [
    policyOf(await chat(fleet, { model: 'a' })),
    policyOf(await chat(fleet, { model: 'b' })),
  ];
  assert.deepEqual(await policies(), ['round_robin', 'random']);
  const switched = await admin('PUT', '/admin/policy', {
    model: 'a',
    policy: { type: 'consistent_hash', virtual_nodes: 9 },
  });
  assert.deepEqual(
    [switched.status, switched.body.changed, switched.body.model, switched.body.policy.virtual_nodes],
    [200, true, 'a', 9],
  );
  assert.deepEqual(switched.body.previous, { type: 'round_robin' });
  assert.deepEqual(await policies(), ['consistent_hash', 'random']);
  const config = (await admin('GET', '/admin/config')).body;
  assert.deepEqual([config.policy.type, config.model_policies.a.virtual_nodes], ['random', 9]);
  assert.deepEqual((await admin('GET', '/admin/stats')).body.policies.per_model, { a: 'consistent_hash' });
  assert.equal((await admin('PUT', '/admin/policy', { model: 'b', type: 'least_work' })).body.changed, true);
  assert.equal((await admin('PUT', '/admin/policy', { model: 'b', type: 'least_work' })).body.changed, false);
  assert.deepEqual(await policies(), ['consistent_hash', 'least_work']);
  for (const model of ['a', 'b'])
    assert.equal((await admin('PUT', '/admin/policy', { model, policy: null })).body.changed, true);
  assert.deepEqual(await policies(), ['round_robin', 'random']);
  for (const [body, status, path] of [
    [{ model: 'nobody-has-it', policy: 'random' }, 404, undefined],
    [{ model: '', policy: 'random' }, 400, 'model'],
    [{ model: 'a', policy: 'fastest' }, 400, 'policy.type'],
    [{ model: 'a', policy: { type: 'random', theta: 1 } }, 400, 'policy.theta'],
    [{ model: 'a' }, 400, 'type'],
    [{ policy: null }, 400, 'policy'],
  ] as const) {
    const answer = await admin('PUT', '/admin/policy', body);
    assert.deepEqual([answer.status, answer.body.fields?.[0]?.path], [status, path], JSON.stringify(body));
  }
});
