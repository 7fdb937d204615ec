/** Workers are registered and removed through the API, in the background, and every step can be seen. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { jobView, pendingView, workerView } from '../../src/admin/worker-view.ts';
import { startSimWorker } from '../../src/sim/server/server.ts';
import { adminOf, settledWorker, startFarm } from '../support/admin.ts';
import { chat, workerOf } from '../support/chat.ts';
import { eventually, startFleet } from '../support/fleet.ts';
import { freePort } from '../support/free-port.ts';
import { startScriptedWorker } from '../support/scripted-worker.ts';

test('a worker is registered, serves, and is removed', async () => {
  await using sim = await startSimWorker({ timeScale: 0.05 });
  await using fleet = await startFleet({ workers: [] });
  const admin = adminOf(fleet);
  assert.equal((await chat(fleet)).status, 503);
  const added = await admin('POST', '/workers', {
    url: `${sim.url}/`,
    model_id: 'sim-model',
    priority: 7,
    cost: 0.5,
    labels: { tier: 'gold' },
  });
  assert.equal(added.status, 202);
  assert.equal(added.body.url, sim.url);
  assert.equal(added.headers.get('location'), `/workers/${encodeURIComponent(sim.url)}`);
  assert.equal(jobView.parse(added.body.job).kind, 'add');
  assert.deepEqual(added.body.notices, []);

  const view = workerView.parse((await settledWorker(admin, sim.url)).body);
  assert.ok(!('tokenizer_path' in view));
  assert.deepEqual(
    [view.id, view.model_id, view.priority, view.cost, view.labels, view.source, view.connection_mode],
    [sim.url, 'sim-model', 7, 0.5, { tier: 'gold' }, 'api', 'Http'],
  );
  assert.deepEqual([view.is_healthy, view.models, view.version], [true, ['sim-model'], '0.32.0+sim']);
  assert.ok(Object.values(view.capabilities ?? {}).every((offered) => offered === true));
  const answer = await chat(fleet);
  assert.equal(workerOf(answer), sim.url);
  await answer.text();
  await fleet.decision(({ status }) => status === 200);

  const list = await admin('GET', '/workers');
  for (const worker of list.body.workers) workerView.parse(worker);
  assert.deepEqual([list.body.total, list.body.jobs], [1, []]);
  assert.deepEqual(list.body.stats, {
    ...{ prefill_count: 0, decode_count: 0, regular_count: 1, healthy_count: 1, draining_count: 0 },
    ...{ total_workers: 1, healthy_workers: 1, total_models: 1, total_load: 0 },
    by_type: { regular: 1, prefill: 0, decode: 0 },
  });

  const removed = await admin('DELETE', `/workers/${sim.url}`);
  assert.deepEqual([removed.status, removed.body.status, removed.body.job.kind], [202, 'draining', 'remove']);
  await eventually(() => fleet.app.runtime.registry.workers.length === 0);
  assert.equal((await admin('GET', `/workers/${sim.url}`)).status, 404);
  assert.equal((await admin('DELETE', `/workers/${sim.url}`)).status, 404);
  assert.equal((await chat(fleet)).status, 503);
});

test('fields that mean nothing to an HTTP worker are kept and shown, with a notice', async () => {
  await using sim = await startSimWorker();
  await using fleet = await startFleet({ workers: [] });
  const admin = adminOf(fleet);
  const fields = {
    reasoning_parser: 'qwen3',
    tool_parser: 'hermes',
    chat_template: 'c',
  };
  const notices = Object.keys(fields).map((name) => `${name}: kept, but without effect on an HTTP worker`);
  const added = await admin('POST', '/workers', { url: sim.url, ...fields });
  assert.deepEqual([added.status, added.body.notices], [202, notices]);
  const { body } = await settledWorker(admin, sim.url);
  const view = workerView.parse(body);
  assert.deepEqual([view.notices, { ...view, ...fields }], [notices, view]);
  assert.equal(workerOf(await chat(fleet)), sim.url);
  // As with any other field: the same again is harmless, another one is another worker.
  assert.equal((await admin('POST', '/workers', { url: sim.url, ...fields })).status, 200);
  assert.equal((await admin('POST', '/workers', { url: sim.url, ...fields, tool_parser: 'x' })).status, 409);
  assert.equal((await admin('POST', '/workers', { url: sim.url, bootstrap_port: 9001 })).status, 400);
});

test('asking again for the same is harmless, for something else a conflict', async () => {
  await using farm = await startFarm();
  await using fleet = await startFleet({ workers: [], extraWorkerUrls: [farm.url('configured')] });
  const admin = adminOf(fleet);
  const body = { url: farm.url('a'), labels: { tier: 'gold' }, api_key: 'key' };
  await admin('POST', '/workers', body);
  await settledWorker(admin, farm.url('a'));
  const again = await admin('POST', '/workers', { ...body, url: `${body.url}/`, priority: 50 });
  assert.deepEqual([again.status, again.body.status], [200, 'registered']);
  assert.equal(workerView.parse(again.body.worker).id, farm.url('a'));
  assert.ok(!JSON.stringify(again.body).includes('"key"'));
  for (const other of [{ labels: {} }, { api_key: 'other' }, { priority: 1 }, { model_id: 'farm-model' }]) {
    const answer = await admin('POST', '/workers', { ...body, ...other });
    assert.deepEqual([answer.status, answer.body.code], [409, 'WORKER_CONFLICT'], JSON.stringify(other));
  }
  assert.equal((await admin('POST', '/workers', { url: farm.url('configured') })).status, 200);
  assert.equal((await admin('POST', '/workers', { url: farm.url('configured'), cost: 2 })).status, 409);
  assert.equal(fleet.app.runtime.registry.workers.length, 2);
});

test('a worker that is not up yet is waited for, and one says why', async () => {
  await using fleet = await startFleet({ workers: [] });
  const admin = adminOf(fleet);
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  assert.equal((await admin('POST', '/workers', { url, priority: 3 })).status, 202);
  let view = await admin('GET', `/workers/${url}`);
  while (view.body.job.reason === null) view = await admin('GET', `/workers/${url}`);
  const pending = pendingView.parse(view.body);
  assert.deepEqual([pending.is_healthy, pending.priority, pending.job.status], [false, 3, 'queued']);
  assert.match(pending.job.reason ?? '', /connect_failed.*ECONNREFUSED/);
  assert.deepEqual((await admin('GET', '/workers')).body.jobs, [pending.job]);
  // The same again is the same job, something else is not.
  const again = await admin('POST', '/workers', { url, priority: 3 });
  assert.deepEqual([again.status, again.body.job.id], [202, pending.job.id]);
  assert.equal((await admin('POST', '/workers', { url })).status, 409);

  await using _sim = await startSimWorker({ port, timeScale: 0.05 });
  const settled = await settledWorker(admin, url);
  assert.equal(settled.body.is_healthy, true);
  assert.equal(workerOf(await chat(fleet)), url);
});

test('a registration that cannot succeed fails with its reason, and can be asked for anew', async () => {
  await using wrong = await startScriptedWorker(undefined, { models: ['other', 'and-another'] });
  await using fleet = await startFleet({
    workers: [],
    router: { workerStartupTimeoutSecs: 0.3, workerStartupCheckIntervalSecs: 0.1 },
  });
  const admin = adminOf(fleet);
  await admin('POST', '/workers', { url: wrong.url, model_id: 'sim-model' });
  const mismatch = pendingView.parse((await settledWorker(admin, wrong.url)).body);
  assert.equal(mismatch.job.reason, 'the worker lists other, and-another, not model_id sim-model');
  const dead = `http://127.0.0.1:${await freePort()}`;
  await admin('POST', '/workers', { url: dead });
  const timedOut = pendingView.parse((await settledWorker(admin, dead)).body);
  assert.match(timedOut.job.reason ?? '', /^not healthy within 0\.3 s: connect_failed/);
  assert.ok(timedOut.job.tries >= 2);
  assert.deepEqual(
    (await admin('GET', '/workers')).body.jobs.map((job: { status: string }) => job.status),
    ['failed', 'failed'],
  );
  assert.equal(fleet.app.runtime.registry.workers.length, 0);
  assert.equal((await admin('POST', '/workers', { url: wrong.url, model_id: 'other' })).status, 202);
  assert.equal((await settledWorker(admin, wrong.url)).body.model_id, 'other');
});

test('a registration can be withdrawn', async () => {
  await using fleet = await startFleet({ workers: [] });
  const admin = adminOf(fleet);
  const url = `http://127.0.0.1:${await freePort()}`;
  await admin('POST', '/workers', { url });
  const answer = await admin('DELETE', `/workers/${encodeURIComponent(url)}`);
  assert.deepEqual([answer.status, answer.body.status], [202, 'withdrawn']);
  assert.deepEqual(
    [answer.body.job.status, answer.body.job.reason],
    ['failed', 'withdrawn before it was registered'],
  );
  assert.equal((await admin('POST', '/workers', { url, priority: 1 })).status, 202);
});

test('what is wrong in a body is named by its path', async () => {
  await using fleet = await startFleet({ workers: [] });
  const admin = adminOf(fleet);
  const answer = await admin('POST', '/workers', {
    url: 'w:8000',
    priority: 'high',
    labels: { a: { b: 1 } },
    worker_type: 'prefil',
    bootstrap_port: 0,
    colour: 'red',
  });
  assert.deepEqual([answer.status, answer.body.code], [400, 'INVALID_REQUEST']);
  assert.deepEqual(
    answer.body.fields.map(({ path }: { path: string }) => path),
    ['url', 'worker_type', 'priority', 'labels.a', 'bootstrap_port', 'colour'],
  );
  for (const [body, words] of [
    ['', /missing, expected object/],
    ['{', /not valid JSON/],
    ['[]', /expected object/],
    [`{"url":"http://a","labels":${'{"a":'.repeat(3)}`, /not valid JSON/],
  ] as const) {
    const bad = await admin('POST', '/workers', body);
    assert.equal(bad.status, 400);
    assert.match(bad.body.error, words);
  }
  assert.equal((await admin('POST', '/workers', `{"url":"${'x'.repeat(9 * 1024 * 1024)}"}`)).status, 413);
  assert.equal((await admin('DELETE', '/workers/http://a?timeout_secs=soon')).status, 400);
  assert.equal((await admin('DELETE', '/workers/http://a?force=1')).body.fields[0].path, 'query.force');
});

test('a compressed body is decoded, within its bounds', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startFleet({ workers: [] });
  const register = async (body: Buffer, encoding: string): Promise<[number, unknown]> => {
    const headers = { 'content-type': 'application/json', 'content-encoding': encoding };
    const answer = await fetch(`${fleet.url}/workers`, { method: 'POST', headers, body });
    return [answer.status, ((await answer.json()) as { code?: string }).code];
  };
  const plain = Buffer.from(JSON.stringify({ url: worker.url }));
  assert.deepEqual(await register(plain, 'lz4'), [415, 'UNSUPPORTED_ENCODING']);
  assert.deepEqual(await register(plain, 'gzip'), [400, 'INVALID_REQUEST']);
  assert.deepEqual(await register(gzipSync(Buffer.alloc(9 * 1024 * 1024)), 'gzip'), [
    413,
    'PAYLOAD_TOO_LARGE',
  ]);
  assert.deepEqual(await register(gzipSync(plain), 'gzip'), [202, undefined]);
  await eventually(() => fleet.app.runtime.registry.workers.length === 1);
  assert.equal(fleet.app.runtime.bodyBytes.held, 0);
});

test('the ranks of one server are registered, shown and removed together or one by one', async () => {
  await using farm = await startFarm();
  await using fleet = await startFleet({
    workers: [],
    router: { intraNodeDataParallelSize: 3 },
  });
  const admin = adminOf(fleet);
  const url = farm.url('dp');
  await admin('POST', '/workers', { url });
  await eventually(() => fleet.app.runtime.registry.workers.length === 3);
  const all = (await admin('GET', `/workers/${url}`)).body;
  assert.deepEqual([all.total, all.workers[2].id, all.workers[2].rank], [3, `${url}@2`, 2]);
  assert.equal((await admin('POST', '/workers', { url })).body.workers.length, 3);
  assert.equal((await admin('DELETE', `/workers/${encodeURIComponent(`${url}@1`)}`)).status, 202);
  await eventually(() => fleet.app.runtime.registry.workers.length === 2);
  // The missing one comes back by asking for all of them.
  assert.equal((await admin('POST', '/workers', { url })).status, 202);
  await eventually(() => fleet.app.runtime.registry.workers.length === 3);
  await admin('DELETE', `/workers/${url}`);
  await eventually(() => fleet.app.runtime.registry.workers.length === 0);
});

test('a server known as a whole is not registered by its ranks too', async () => {
  await using farm = await startFarm();
  await using fleet = await startFleet({
    workers: [],
    extraWorkerUrls: [farm.url('a'), `${farm.url('b')}@0`],
  });
  const admin = adminOf(fleet);
  const ranked = await admin('POST', '/workers', { url: `${farm.url('a')}@1` });
  assert.deepEqual([ranked.status, /as a whole/.test(ranked.body.error)], [409, true]);
  const whole = await admin('POST', '/workers', { url: farm.url('b') });
  assert.deepEqual([whole.status, /by its ranks/.test(whole.body.error)], [409, true]);
});

test('the older routes do the same in plain text', async () => {
  await using farm = await startFarm();
  await using fleet = await startFleet({ workers: [], router: { workerStartupTimeoutSecs: 0.1 } });
  const admin = adminOf(fleet);
  const url = farm.url('old');
  const query = `?url=${encodeURIComponent(url)}`;
  const added = await admin('POST', `/add_worker${query}`);
  assert.deepEqual([added.status, added.body], [200, `Successfully added worker: ${url}`]);
  assert.equal(fleet.app.runtime.registry.get(url)?.health.healthy, true);
  assert.deepEqual((await admin('GET', '/list_workers')).body, { urls: [url] });
  const again = await admin('POST', `/add_worker?url=${url}`);
  assert.deepEqual([again.status, again.body], [400, `Worker ${url} already exists`]);
  const dead = `http://127.0.0.1:${await freePort()}`;
  const refused = await admin('POST', `/add_worker?url=${dead}`);
  assert.equal(refused.status, 400);
  assert.match(refused.body, /^Failed to add worker .*: not healthy within 0\.1 s/);
  assert.equal((await admin('POST', '/add_worker?url=nonsense')).status, 400);
  assert.equal((await admin('POST', '/add_worker')).status, 400);
  for (const target of [url, farm.url('unknown')]) {
    const removed = await admin('POST', `/remove_worker?url=${target}`);
    assert.deepEqual([removed.status, removed.body], [200, `Successfully removed worker: ${target}`]);
  }
  await eventually(() => fleet.app.runtime.registry.workers.length === 0);
  assert.deepEqual((await admin('GET', '/list_workers')).body, { urls: [] });
});

test("a worker's own metrics are a look away", async () => {
  await using sim = await startSimWorker();
  await using farm = await startFarm();
  await using fleet = await startFleet({ workers: [], extraWorkerUrls: [sim.url, farm.url('metrics')] });
  const admin = adminOf(fleet);
  for (const target of [sim.url, encodeURIComponent(sim.url)]) {
    const metrics = await admin('GET', `/workers/${target}/metrics`);
    assert.equal(metrics.status, 200);
    assert.match(metrics.body, /^vllm:num_requests_running/m);
  }
  // A worker whose prefix is called so is still a worker.
  assert.equal((await admin('GET', `/workers/${farm.url('metrics')}`)).body.id, farm.url('metrics'));
  assert.equal((await admin('GET', '/workers/http://127.0.0.1:1/metrics')).status, 404);
  await sim.stop();
  assert.equal((await admin('GET', `/workers/${sim.url}/metrics`)).status, 502);
});

test('stopping ends the requests that wait for a registration', async () => {
  await using fleet = await startFleet({ workers: [] });
  const answer = adminOf(fleet)('POST', `/add_worker?url=http://127.0.0.1:${await freePort()}`);
  await eventually(() => fleet.app.openJobs === 1);
  await fleet.stop();
  const { status, body } = await answer;
  assert.deepEqual([status, /the router is stopping/.test(body)], [400, true]);
});
