/** Workers that were registered through the API are there again after a restart, and are never lost without a word. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { run } from '../programs.ts';
import { adminOf, settledWorker, startFarm } from '../support/admin.ts';
import { chat, workerOf } from '../support/chat.ts';
import { eventually, startFleet } from '../support/fleet.ts';
import { LAUNCHER, ROOT, serve } from '../support/serve.ts';

function stateFile(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'admin-state-'));
  t.after(() => {
    rmSync(folder, { recursive: true });
  });
  return join(folder, 'state.json');
}

function urlsIn(path: string): string[] {
  return (JSON.parse(readFileSync(path, 'utf8')) as { workers: { url: string }[] }).workers.map(
    ({ url }) => url,
  );
}

test('a restart brings them back with all that was said of them', async (t) => {
  const path = stateFile(t);
  await using farm = await startFarm();
  const options = {
    workers: [],
    extraWorkerUrls: [farm.url('configured')],
    router: { stateFile: path },
    waitForWorkers: false,
  };
  {
    await using fleet = await startFleet(options);
    const admin = adminOf(fleet);
    const body = {
      url: farm.url('a'),
      priority: 3,
      labels: { tier: 'gold' },
      api_key: 'secret',
      model_id: 'farm-model',
    };
    assert.equal((await admin('POST', '/workers', body)).status, 202);
    // The answer comes when it is on disk.
    assert.deepEqual(urlsIn(path), [farm.url('a')]);
    for (const name of ['b', 'c', 'configured']) await admin('POST', '/workers', { url: farm.url(name) });
    for (const name of ['a', 'b', 'c']) await settledWorker(admin, farm.url(name));
    assert.equal((await admin('DELETE', `/workers/${farm.url('b')}`)).status, 202);
    assert.deepEqual(urlsIn(path), [farm.url('a'), farm.url('c')]);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.deepEqual((await admin('GET', '/admin/stats')).body.state_file, { path, error: null });
  }
  await using fleet = await startFleet(options);
  const admin = adminOf(fleet);
  await eventually(() => fleet.app.runtime.registry.workers.every(({ health }) => health.healthy));
  const { workers } = (await admin('GET', '/workers')).body;
  assert.deepEqual(
    workers.map(({ url, source }: { url: string; source: string }) => [url, source]),
    [
      [farm.url('configured'), 'config'],
      [farm.url('a'), 'api'],
      [farm.url('c'), 'api'],
    ],
  );
  const [, a] = workers;
  assert.deepEqual([a.priority, a.labels, a.model_id], [3, { tier: 'gold' }, 'farm-model']);
  assert.equal(fleet.app.runtime.registry.get(farm.url('a'))?.spec.apiKey, 'secret');
});

test('what was being registered when the router stopped is taken up again', async (t) => {
  const path = stateFile(t);
  const options = { workers: [], router: { stateFile: path }, waitForWorkers: false };
  const url = 'http://127.0.0.1:1';
  {
    await using fleet = await startFleet(options);
    await adminOf(fleet)('POST', '/workers', { url });
  }
  assert.deepEqual(urlsIn(path), [url]);
  await using fleet = await startFleet(options);
  assert.equal((await adminOf(fleet)('GET', `/workers/${url}`)).body.is_healthy, false);
});

test('a registration that failed, and a worker that left, are not kept', async (t) => {
  const path = stateFile(t);
  await using farm = await startFarm();
  await using fleet = await startFleet({
    workers: [],
    router: { stateFile: path, workerStartupTimeoutSecs: 0.05 },
  });
  const admin = adminOf(fleet);
  assert.equal((await admin('POST', '/add_worker?url=http://127.0.0.1:1')).status, 400);
  await admin('POST', `/add_worker?url=${farm.url('a')}`);
  await admin('POST', `/remove_worker?url=${farm.url('a')}`);
  await eventually(() => urlsIn(path).length === 0);
});

test('a drain that is called off keeps the worker', async (t) => {
  const path = stateFile(t);
  await using farm = await startFarm();
  await using fleet = await startFleet({ workers: [], router: { stateFile: path } });
  const admin = adminOf(fleet);
  const url = farm.url('a');
  await admin('POST', `/add_worker?url=${url}`);
  const worker = fleet.app.runtime.registry.get(url);
  assert.ok(worker);
  // A request that holds the drain up.
  const lease = fleet.app.runtime.ledger.acquire(worker.slot, {
    prefillTokens: 0,
    kvTokens: 0,
    stream: false,
  });
  await admin('DELETE', `/workers/${url}`);
  assert.deepEqual(urlsIn(path), []);
  assert.equal((await admin('POST', '/workers', { url })).body.status, 'undrained');
  assert.deepEqual(urlsIn(path), [url]);
  lease.release();
});

test('a file that cannot be used stops the start, with the reason, and stays as it is', async (t) => {
  const path = stateFile(t);
  for (const text of ['{"version": 1, "workers": [', '{"version":1,"workers":[{"url":"nonsense"}]}']) {
    writeFileSync(path, text);
    const { status, stderr } = await run(
      process.execPath,
      [LAUNCHER, '--no-metrics', '--port', '0', '--state-file', path],
      { cwd: ROOT },
    );
    assert.equal(status, 1);
    assert.match(stderr, /^vllm-router: the state file .* cannot be used: .*move it away/);
    assert.equal(readFileSync(path, 'utf8'), text);
  }
  const { status, stderr } = await run(
    process.execPath,
    [LAUNCHER, '--no-metrics', '--port', '0', '--state-file', '/proc/nowhere/state.json'],
    { cwd: ROOT },
  );
  assert.equal(status, 1);
  assert.match(stderr, /^vllm-router: cannot (read|write) the state file \/proc\/nowhere\/state\.json: /);
});

test('with a state file the router starts without workers and waits for the first', async (t) => {
  const path = stateFile(t);
  await using farm = await startFarm();
  const { url, program } = await serve(t, ['--state-file', path, '--worker-startup-timeout-secs', '0.2']);
  assert.ok(existsSync(path));
  const admin = adminOf({ url });
  assert.equal((await fetch(`${url}/readiness`)).status, 503);
  await new Promise((resolve) => setTimeout(resolve, 400));
  assert.equal((await admin('POST', '/workers', { url: farm.url('a') })).status, 202);
  await program.printed(/worker registration done/);
  assert.equal(workerOf(await chat({ url }, { model: 'farm-model' })), farm.url('a'));
  program.child.kill('SIGTERM');
  assert.equal((await program.ended).status, 0);
  assert.deepEqual(urlsIn(path), [farm.url('a')]);
});
