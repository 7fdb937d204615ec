/** What an operator may look at: configuration, state, decisions, and the description of it all. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ADMIN_ROUTES } from '../../src/admin/routes.ts';
import { adminOf, startFarm, type AdminCall } from '../support/admin.ts';
import { chat } from '../support/chat.ts';
import { startFleet } from '../support/fleet.ts';

test('the configuration is shown in its own words, without a secret', async () => {
  const secrets = ['admin-secret', 'general-secret', 'secret-of-a'];
  await using farm = await startFarm();
  await using fleet = await startFleet({
    workers: [],
    extraWorkerUrls: [farm.url('a')],
    router: {
      adminApiKey: 'admin-secret',
      apiKey: 'general-secret',
      workerApiKeys: { [farm.url('a')]: 'secret-of-a' },
      policy: { type: 'least_work', theta: 0.7 },
      retry: { maxRetries: 2 },
    },
  });
  const { status, body } = await adminOf(fleet, 'admin-secret')('GET', '/admin/config');
  assert.equal(status, 200);
  assert.deepEqual(
    [body.admin_api_key, body.api_key, body.worker_api_keys],
    ['***', '***', { [farm.url('a')]: '***' }],
  );
  assert.deepEqual([body.retry.max_retries, body.policy.type, body.policy.theta], [2, 'least_work', 0.7]);
  assert.deepEqual(body.worker_urls, [farm.url('a')]);
  for (const secret of secrets) assert.ok(!JSON.stringify(body).includes(secret), secret);
});

test('the state adds up', async () => {
  await using fleet = await startFleet({ workers: [{}, {}] });
  const admin = adminOf(fleet);
  for (let i = 0; i < 3; i += 1) await (await chat(fleet)).json();
  await fleet.decision((_one, _index, all) => all.length === 3);
  const { body } = await admin('GET', '/admin/stats');
  const { length: all } = fleet.all;
  assert.deepEqual(body.workers, {
    ...{ total: all, healthy: all, draining: 0, circuit_open: 0, from_api: 0 },
    ...{ suspect: 0, stalled: 0, asleep: 0 },
  });
  const { configured, serving } = body.threads;
  assert.deepEqual([configured, serving], Array(2).fill(fleet.threads?.running ?? 1));
  assert.deepEqual(body.cache, { backend: 'none', exact_entries: 0, semantic_entries: 0 });
  assert.deepEqual(body.policies, {
    ...{ default: 'least_work', prefill: 'pair_cost', decode: 'pair_cost' },
    per_model: {},
  });
  assert.deepEqual(body.requests, { in_flight: 0, queued: 0, body_bytes: 0 });
  assert.deepEqual([body.decisions_logged, body.decisions_held.records, body.jobs.open], [3, 3, 0]);
  assert.ok(body.uptime_secs > 0 && body.decisions_held.bytes > 0);
  assert.equal(body.state_file, null);
});

test('decisions are the latest, oldest first, by worker, model and time', async () => {
  await using fleet = await startFleet({
    ...{ workers: [{}, {}], router: { policy: 'round_robin' } },
    onlyRegular: 'of a pair it is the prefill worker who answers for a model that nobody has',
  });
  const admin = adminOf(fleet);
  const ids = ['a', 'b', 'c', 'd'];
  for (const id of ids) {
    const model = id === 'b' ? 'unknown-model' : 'sim-model';
    await (await chat(fleet, { model }, { headers: { 'x-request-id': id } })).text();
    await fleet.decision((decision) => decision.request_id === id);
  }
  const found = async (query: string): Promise<string[]> =>
    (await admin('GET', `/admin/decisions${query}`)).body.decisions.map(
      (decision: { request_id: string }) => decision.request_id,
    );
  assert.deepEqual(await found(''), ids);
  assert.deepEqual(await found('?limit=2'), ['c', 'd']);
  assert.deepEqual(await found('?model=unknown-model'), ['b']);
  assert.deepEqual(await found('?model=sim-model&limit=2'), ['c', 'd']);
  const [first, second] = fleet.workers.map(({ url }) => url);
  const ofFirst = await found(`?worker=${first ?? ''}`);
  assert.deepEqual([...ofFirst, ...(await found(`?worker=${second ?? ''}`))].sort(), ids);
  assert.ok(ofFirst.length > 0 && ofFirst.length < 4);
  const { timestamp } = await fleet.decision(({ request_id }) => request_id === 'c');
  assert.deepEqual((await found(`?since=${timestamp}`)).slice(-2), ['c', 'd']);
  assert.deepEqual(await found(`?since=${(Date.now() + 60_000) / 1000}`), []);
  assert.deepEqual(await found('?since=0'), ids);
  for (const query of ['?limit=0', '?limit=many', '?since=yesterday', '?limits=1', '?limit=1&limit=2']) {
    const answer = await admin('GET', `/admin/decisions${query}`);
    assert.equal(answer.status, 400, query);
    assert.match(answer.body.fields[0].path, /^query\.(limits?|since)$/);
  }
});

test('the description of the API is served, and what is served is as described', async () => {
  await using farm = await startFarm();
  await using fleet = await startFleet({ workers: [], extraWorkerUrls: [farm.url('a')] });
  const admin = adminOf(fleet);
  const description = await admin('GET', '/openapi.json');
  assert.deepEqual([description.status, description.body.openapi], [200, '3.1.0']);
  assert.deepEqual((await admin('GET', '/admin/openapi.json')).body, description.body);
  const explained = { path: '/v1/chat/completions', body: { model: 'farm-model', messages: [] } };
  for (const [method, path, body, params] of [
    ['GET', '/workers'],
    ['GET', '/workers/{url}'],
    ['GET', '/list_workers'],
    ['GET', '/get_loads'],
    ['POST', '/flush_cache'],
    ['GET', '/admin/config'],
    ['GET', '/admin/stats'],
    ['GET', '/admin/decisions'],
    ['POST', '/admin/explain', explained],
    ['PUT', '/admin/policy', 'random'],
    ['PUT', '/admin/policy', { type: 'cache_aware', cache_threshold: 0.5 }],
    ['POST', '/workers', { url: farm.url('a') }],
    ['POST', '/workers', { url: farm.url('b') }],
    ['GET', '/admin/drain/status', undefined, `?url=${farm.url('a')}`],
    ['POST', '/admin/drain', { url: farm.url('a') }],
    ['DELETE', '/workers/{url}'],
  ] as const)
    await assertAsDescribed(admin, { method, path, body, params, url: farm.url('a') });
});

async function assertAsDescribed(
  admin: AdminCall,
  call: { method: string; path: string; body: unknown; params: string | undefined; url: string },
): Promise<void> {
  const row = ADMIN_ROUTES.find(({ method, path }) => method === call.method && path === call.path);
  assert.ok(row, `${call.method} ${call.path}`);
  const target = call.path.replace('{url}', encodeURIComponent(call.url)) + (call.params ?? '');
  const answer = await admin(
    call.method,
    target,
    typeof call.body === 'string' ? `"${call.body}"` : call.body,
  );
  const described = row.answers[answer.status];
  assert.ok(
    described,
    `${call.method} ${call.path} answered ${answer.status}: ${JSON.stringify(answer.body)}`,
  );
  described.schema?.parse(answer.body);
}
