/** Which workers a request wants: x-worker-priority and x-max-cost. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { adminOf } from '../support/admin.ts';
import { chat, post, workerOf } from '../support/chat.ts';
import { startFleet } from '../support/fleet.ts';
import { startScriptedWorker, type ScriptedWorker } from '../support/scripted-worker.ts';

/** Cheap and low, middling, dear and high. */
const TRAITS = [
  { priority: 10, cost: 0.5 },
  { priority: 50, cost: 1 },
  { priority: 90, cost: 4 },
] as const;

async function start(router: object = {}) {
  const workers: ScriptedWorker[] = await Promise.all(TRAITS.map(() => startScriptedWorker()));
  const fleet = await startFleet({
    workers: [],
    router: {
      policy: 'round_robin',
      workers: workers.map(({ url }, index) => ({ url, ...TRAITS[index] })),
      ...router,
    },
  });
  return {
    fleet,
    workers,
    async [Symbol.asyncDispose]() {
      await fleet.stop();
      await Promise.all(workers.map((worker) => worker[Symbol.asyncDispose]()));
    },
  };
}

const asking = (headers: Record<string, string>): RequestInit => ({ headers });

test('only workers of at least the priority and at most the cost are asked', async () => {
  await using bench = await start();
  const { fleet } = bench;
  const [cheap, middle, dear] = bench.workers.map(({ url }) => url);
  for (const [headers, expected] of [
    [{ 'x-worker-priority': '50' }, [middle, dear]],
    [{ 'X-Worker-Priority': '51' }, [dear]],
    [{ 'x-max-cost': '1' }, [cheap, middle]],
    [{ 'x-max-cost': '0.5' }, [cheap]],
    [{ 'x-worker-priority': '20', 'x-max-cost': '2.5' }, [middle]],
    [{ 'x-worker-priority': '0', 'x-max-cost': '100' }, [cheap, middle, dear]],
  ] as const) {
    const served = new Set<string | null>();
    for (let turn = 0; turn < 6; turn += 1) served.add(workerOf(await chat(fleet, {}, asking(headers))));
    assert.deepEqual([...served].sort(), [...expected].sort(), JSON.stringify(headers));
  }
});

test('the record says who was left out and why, and the headers stay here', async () => {
  await using bench = await start();
  const { fleet, workers } = bench;
  await chat(fleet, {}, asking({ 'x-worker-priority': '20', 'x-max-cost': '2' }));
  const { candidates } = await fleet.decision();
  assert.deepEqual(candidates?.map(({ state }) => state).sort(), ['cost', 'eligible', 'priority']);
  const { headers } = workers[1]!.last;
  assert.deepEqual([headers['x-worker-priority'], headers['x-max-cost']], [undefined, undefined]);
});

test('nobody left is 503 naming the filter, also where the others are well', async () => {
  await using bench = await start();
  const { fleet, workers } = bench;
  for (const [headers, pattern] of [
    [{ 'x-worker-priority': '91' }, /3 below x-worker-priority: 91\)/],
    [{ 'x-max-cost': '0.1' }, /3 above x-max-cost: 0\.1\)/],
    [
      { 'x-worker-priority': '60', 'x-max-cost': '1' },
      /2 below x-worker-priority: 60, 1 above x-max-cost: 1\)/,
    ],
  ] as const) {
    const response = await chat(fleet, {}, asking(headers));
    assert.deepEqual([response.status, response.headers.get('retry-after')], [503, '1']);
    const { error } = (await response.json()) as { readonly error: { code: string; message: string } };
    assert.equal(error.code, 'no_worker_matches');
    assert.match(error.message, pattern);
  }
  const { candidates, error } = await fleet.decision(({ status }) => status === 503);
  assert.equal(error, 'no_worker_matches');
  assert.equal(candidates?.length, 3);
  assert.ok(workers.every(({ received }) => received.length === 0));
});

test('a wanted worker that is down is another matter: no_worker_available', async () => {
  await using bench = await start();
  const { fleet } = bench;
  fleet.app.runtime.registry.workers[2]!.draining = true;
  const response = await chat(fleet, {}, asking({ 'x-worker-priority': '90' }));
  const { error } = (await response.json()) as { readonly error: { code: string; message: string } };
  assert.deepEqual([response.status, error.code], [503, 'no_worker_available']);
  assert.match(error.message, /1 draining/);
});

test('a retry stays with the workers that the request wants', async () => {
  await using bench = await start({ retry: { initialBackoffMs: 1 } });
  const { fleet, workers } = bench;
  for (const worker of workers.slice(0, 2)) worker.answer = (response) => response.writeHead(503).end('{}');
  const response = await chat(fleet, {}, asking({ 'x-max-cost': '1' }));
  assert.equal(response.status, 503);
  assert.equal(workers[2]!.received.length, 0);
});

test('what is no number is 400', async () => {
  await using bench = await start();
  const { fleet } = bench;
  for (const headers of [{ 'x-worker-priority': 'high' }, { 'x-max-cost': '-1' }]) {
    const response = await chat(fleet, {}, asking(headers));
    const { error } = (await response.json()) as { readonly error: { code: string } };
    assert.deepEqual([response.status, error.code], [400, 'invalid_request']);
  }
});

test('they hold for every route, forms and unknown paths included', async () => {
  await using bench = await start();
  const { fleet, workers } = bench;
  const headers = { 'x-worker-priority': '90' };
  const form = new FormData();
  form.append('file', new Blob(['RIFF']), 'speech.wav');
  form.append('model', 'sim-model');
  for (let turn = 0; turn < 2; turn += 1) {
    await fetch(`${fleet.url}/v1/audio/transcriptions`, { method: 'POST', body: form, headers });
    await fetch(`${fleet.url}/some/other/route`, { headers });
    await post(fleet, '/v1/embeddings', { input: 'x' }, { headers });
  }
  assert.deepEqual(
    workers.map(({ received }) => received.length),
    [0, 0, 6],
  );
});

test('a stored response is asked for where it is, whatever the filters say', async () => {
  await using fleet = await startFleet({ workers: [{}, {}], router: { policy: 'round_robin' } });
  const { registry } = fleet.app.runtime;
  const [first] = registry.workers;
  assert.ok(first);
  const created = await post(fleet, '/v1/responses', { model: 'sim-model', input: 'hello', store: true });
  const { id } = (await created.json()) as { readonly id: string };
  const owner = registry.get(workerOf(created) ?? '');
  assert.ok(owner);
  registry.setTraits(owner, { ...owner.traits, priority: 0 });
  const headers = { 'x-worker-priority': '50' };
  const read = await fetch(`${fleet.url}/v1/responses/${id}`, { headers });
  assert.deepEqual([read.status, workerOf(read)], [200, owner.id]);
});

test('a dry run takes them into account', async () => {
  await using bench = await start();
  const { fleet, workers } = bench;
  const body = { model: 'sim-model', messages: [] };
  const explain = async (headers: object) =>
    (await adminOf(fleet)('POST', '/admin/explain', { path: '/v1/chat/completions', headers, body })).body;
  const routed = await explain({ 'x-worker-priority': '90' });
  assert.deepEqual([routed.outcome, routed.worker], ['routed', workers[2]!.url]);
  const refused = await explain({ 'x-worker-priority': '99' });
  assert.deepEqual([refused.outcome, refused.error.code], ['rejected', 'no_worker_matches']);
  assert.deepEqual(refused.candidates[0].state, 'priority');
  assert.equal((await explain({ 'x-max-cost': 'much' })).error.code, 'invalid_request');
});
