/** What the router answers by itself, from what it knows of its workers. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startFleet, type Fleet, type FleetOptions } from '../support/fleet.ts';
import { startRouter, startScriptedWorker } from '../support/scripted-worker.ts';
import { VERSION } from '../../src/config/version.ts';

async function get(fleet: Fleet, path: string) {
  const response = await fetch(fleet.url + path);
  const text = await response.text();
  const isJson = response.headers.get('content-type') === 'application/json';
  return {
    status: response.status,
    text,
    json: isJson ? JSON.parse(text) : undefined,
    headers: response.headers,
  };
}

/** Two workers; `down` says which of them nothing listens at. */
async function startTwo(
  down: readonly boolean[],
  options: Pick<FleetOptions, 'onlyRegular'> = {},
): Promise<Fleet> {
  const fleet = await startFleet({
    workers: down.map((isDown) => (isDown ? { faults: ['refuse'] } : {})),
    waitForWorkers: false,
    ...options,
  });
  await fleet.app.firstWorker();
  return fleet;
}

test('liveness: whenever the process answers', async () => {
  await using fleet = await startFleet({ workers: [] });
  const { status, text } = await get(fleet, '/liveness');
  assert.deepEqual([status, text], [200, 'OK']);
});

const OF_EACH_TYPE = 'where there are workers for prefill it tells of each type';

test('readiness: as soon as one worker can be used', async () => {
  await using none = await startFleet({
    workers: [{ faults: ['refuse'] }],
    waitForWorkers: false,
    onlyRegular: OF_EACH_TYPE,
  });
  const before = await get(none, '/readiness');
  assert.equal(before.status, 503);
  assert.deepEqual(before.json, {
    status: 'not_ready',
    reason: 'no healthy workers available',
    total_workers: 1,
  });
  assert.equal(before.headers.get('retry-after'), '1');

  await using one = await startTwo([true, false], { onlyRegular: OF_EACH_TYPE });
  const after = await get(one, '/readiness');
  assert.equal(after.status, 200);
  assert.deepEqual(after.json, { status: 'ready', healthy_workers: 1, total_workers: 2 });
});

test('health: all workers, or which not', async () => {
  await using all = await startFleet();
  assert.deepEqual(
    [(await get(all, '/health')).status, (await get(all, '/health')).text],
    [200, 'All servers healthy'],
  );
  await using half = await startTwo([false, true]);
  const { status, text } = await get(half, '/health');
  assert.equal(status, 503);
  assert.equal(text, `Unhealthy servers: ["${half.workers[1]?.url ?? ''}"]`);
});

test('health_generate: a worker makes a token, or does not', async () => {
  await using fleet = await startFleet({ workers: [{}] });
  const [worker] = fleet.workers;
  assert.equal((await get(fleet, '/health_generate')).status, 200);
  const sent = worker?.seen.findLast(({ method }) => method === 'POST');
  assert.equal(sent?.url, '/v1/completions');
  assert.deepEqual(JSON.parse(sent.body.toString()), { model: 'sim-model', prompt: 'a', max_tokens: 1 });
  await worker?.setFaults(['status:code=500']);
  const failed = await get(fleet, '/health_generate');
  assert.equal(failed.status, 503);
  assert.match(failed.text, /500/);
});

test('models: the union over workers, each once, as the workers describe them', async () => {
  await using first = await startScriptedWorker(undefined, { models: ['a', 'both'] });
  await using second = await startScriptedWorker(undefined, { models: ['both', 'b'] });
  await using fleet = await startRouter([first, second]);
  const { status, json } = await get(fleet, '/v1/models');
  assert.equal(status, 200);
  assert.equal(json.object, 'list');
  assert.deepEqual(
    json.data.map(({ id }: { id: string }) => id),
    ['a', 'both', 'b'],
  );
  assert.deepEqual(json.data[0], { id: 'a', object: 'model', root: '/models/a', max_model_len: 4096 });
  assert.deepEqual([first.received, second.received], [[], []]);
});

test('models: 503 as long as none is known', async () => {
  await using fleet = await startFleet({ workers: [{ faults: ['refuse'] }], waitForWorkers: false });
  const { status, json, headers } = await get(fleet, '/v1/models');
  assert.deepEqual([status, json.error.code, headers.get('retry-after')], [503, 'no_worker_available', '1']);
});

test('version: the workers’ when they agree, all of them when not', async () => {
  await using old = await startScriptedWorker(undefined, { version: '0.28.0' });
  await using young = await startScriptedWorker(undefined, { version: '0.29.0' });
  await using same = await startRouter([young]);
  assert.deepEqual((await get(same, '/version')).json, { version: '0.29.0', router_version: VERSION });
  await using mixed = await startRouter([old, young]);
  assert.deepEqual((await get(mixed, '/version')).json, {
    version: ['0.28.0', '0.29.0'],
    router_version: VERSION,
  });
});

test('get_server_info: the workers and what they do', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker], { router: { policy: 'round_robin' } });
  assert.deepEqual((await get(fleet, '/get_server_info')).json, {
    router_version: VERSION,
    router_type: 'regular',
    policy: 'round_robin',
    workers: [
      {
        url: worker.url,
        worker_type: 'regular',
        is_healthy: true,
        version: '0.29.0',
        models: ['sim-model'],
        circuit_breaker: 'closed',
        progress: 'moving',
        engine: 'running',
        load: 0,
      },
    ],
  });
});

test('get_model_info: where older clients look, and per model', async () => {
  await using first = await startScriptedWorker(undefined, { models: ['a'] });
  await using second = await startScriptedWorker(undefined, { models: ['a', 'b'] });
  await using fleet = await startRouter([first, second]);
  assert.deepEqual((await get(fleet, '/get_model_info')).json, {
    model_path: '/models/a',
    models: [
      { id: 'a', root: '/models/a', max_model_len: 4096, workers: 2 },
      { id: 'b', root: '/models/b', max_model_len: 4096, workers: 1 },
    ],
  });
});

test('HEAD is the same without a body, other methods are not offered', async () => {
  await using fleet = await startFleet({ workers: [{}] });
  for (const path of [
    '/health',
    '/liveness',
    '/readiness',
    '/v1/models',
    '/version',
    '/get_server_info',
    '/get_model_info',
  ]) {
    const head = await fetch(fleet.url + path, { method: 'HEAD' });
    assert.equal(head.status, 200, path);
    assert.equal(head.headers.get('content-length'), String((await get(fleet, path)).text.length));
    const posted = await fetch(fleet.url + path, { method: 'POST', body: '{}' });
    assert.deepEqual(
      [posted.status, JSON.parse(await posted.text()).error.code],
      [405, 'method_not_allowed'],
      path,
    );
  }
});
