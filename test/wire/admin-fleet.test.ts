/** What is asked of the whole fleet at once: emptied caches, and loads. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startSimWorker } from '../../src/sim/server/server.ts';
import { adminOf, type Parsed } from '../support/admin.ts';
import { chat, streamChat } from '../support/chat.ts';
import { startFleet } from '../support/fleet.ts';
import { startScriptedWorker } from '../support/scripted-worker.ts';

test('flushing empties every cache and the picture that the router has of it', async () => {
  await using fleet = await startFleet({ workers: [{}, {}] });
  const admin = adminOf(fleet);
  const messages = [{ role: 'user', content: 'a long prompt '.repeat(100) }];
  await (await chat(fleet, { messages })).json();
  const index = fleet.app.runtime.cacheIndex;
  assert.ok((index?.entries ?? 0) > 0);
  const answer = await admin('POST', '/flush_cache');
  assert.equal(answer.status, 200);
  assert.deepEqual(answer.body, {
    ...{ success: true, flushed: fleet.all.length, failed: 0, not_offered: 0 },
    workers: fleet.all.map(({ url }) => ({
      worker: url,
      status: 'flushed',
      http_status: 200,
      error: null,
    })),
  });
  assert.equal(index?.entries, 0);
  for (const worker of fleet.all)
    assert.ok(worker.seen.some(({ method, url }) => `${method} ${url}` === 'POST /reset_prefix_cache'));
  await (await chat(fleet, { messages })).json();
  assert.ok((index?.entries ?? 0) > 0);
});

test('every worker that was not flushed is named with its reason', async () => {
  await using failing = await startScriptedWorker((response) => {
    response.writeHead(500).end('broken');
  });
  await using fleet = await startFleet({
    workers: [{}, { devMode: false }, {}],
    extraWorkerUrls: [failing.url],
  });
  const [good, stock, gone] = fleet.workers;
  await gone?.stop();
  const answer = await adminOf(fleet)('POST', '/flush_cache');
  assert.equal(answer.status, 502);
  assert.deepEqual(
    [answer.body.success, answer.body.flushed, answer.body.failed, answer.body.not_offered],
    [false, 1 + fleet.prefills.length, 2, 1],
  );
  const ofUrl = [failing.url, 'failed'];
  const ofTests = [
    ...fleet.prefills.map(({ url }) => [url, 'flushed']),
    [good?.url, 'flushed'],
    [stock?.url, 'not_offered'],
    [gone?.url, 'failed'],
  ];
  const { workers } = answer.body;
  assert.deepEqual(
    workers.map(({ worker, status }: Parsed) => [worker, status]),
    // Those with a type are configured behind those that are URLs alone.
    fleet.prefills.length > 0 ? [ofUrl, ...ofTests] : [...ofTests, ofUrl],
  );
  const errorOf = (url?: string): string => workers.find(({ worker }: Parsed) => worker === url).error;
  assert.match(errorOf(gone?.url), /connect_failed/);
  assert.equal(errorOf(failing.url), 'status 500');
});

test('the ranks of one server are flushed by one request', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startFleet({
    workers: [],
    extraWorkerUrls: [worker.url],
    router: { intraNodeDataParallelSize: 4 },
  });
  const answer = await adminOf(fleet)('POST', '/flush_cache');
  assert.deepEqual([answer.status, answer.body.flushed], [200, 4]);
  assert.equal(worker.received.length, 1);
});

test('nothing to flush is well flushed', async () => {
  await using fleet = await startFleet({ workers: [] });
  const answer = await adminOf(fleet)('POST', '/flush_cache');
  assert.deepEqual([answer.status, answer.body.success, answer.body.workers], [200, true, []]);
});

test('loads are what the router knows exactly, and what the engines say, with its age', async () => {
  const busy = await startSimWorker({ timeScale: 1, faults: ['hang:after=1'] });
  await using mute = await startScriptedWorker((response) => {
    response.writeHead(404).end();
  });
  await using fleet = await startFleet({ workers: [], extraWorkerUrls: [busy.url] });
  const admin = adminOf(fleet);
  const stream = await streamChat(fleet, { max_tokens: 100 });
  await admin('POST', `/add_worker?url=${mute.url}`);
  const loads = await admin('GET', '/get_loads');
  assert.equal(loads.status, 200);
  const [first, second] = loads.body.workers;
  assert.deepEqual([first.worker, first.load, first.in_flight], [busy.url, 1, 1]);
  assert.ok(first.kv_tokens > 0 && first.prefill_tokens_per_sec > 0);
  assert.equal(typeof first.engine.running, 'number');
  assert.equal(typeof first.engine.kv_cache_usage, 'number');
  assert.ok(first.engine.age_secs >= 0 && first.engine.age_secs < 1);
  assert.deepEqual([second.load, second.engine, second.engine_error], [0, null, 'status 404']);

  // The engine is gone: what it said last stands there with its age, and why there is nothing newer.
  await busy.stop();
  await stream.text().catch(() => undefined);
  let later = loads;
  // What was read a moment ago is shown again for a second.
  while (later.body.workers[0].engine_error === null) later = await admin('GET', '/get_loads');
  const [stale] = later.body.workers;
  assert.match(stale.engine_error, /connect_failed|worker_closed|not healthy/);
  if (stale.engine_error !== 'not healthy') assert.ok(stale.engine.age_secs >= 1);
});
