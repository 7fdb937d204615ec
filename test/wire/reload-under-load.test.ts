/** The configuration is replaced again and again while requests and streams are under way, and none of them notices. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Parsed } from '../support/admin.ts';
import { chat, pieces, streamChat, workerOf } from '../support/chat.ts';
import { startFileFleet, type FileConfig, type FileFleet } from '../support/file-fleet.ts';
import { eventually } from '../support/fleet.ts';
import { scrape } from '../support/metrics.ts';

const CLIENTS = 8;

/** Chats and streams until told to stop; every one must be whole. */
function keepAsking(fleet: FileFleet): { stop: () => Promise<Record<string, number>> } {
  let running = true;
  let count = 0;
  const outcomes: Record<string, number> = {};
  const note = (outcome: string): void => {
    outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
  };
  const clients = Array.from({ length: CLIENTS }, async () => {
    while (running) {
      const at = count++;
      const init = { headers: { 'x-session-id': `s-${at % 20}` } };
      try {
        if (at % 3 === 0) {
          const text = await (await streamChat(fleet, { max_tokens: 30, min_tokens: 30 }, init)).text();
          note(text.trimEnd().endsWith('data: [DONE]') ? 'stream' : `broken stream: ${text.slice(-200)}`);
        } else {
          const response = await chat(fleet, {}, init);
          await response.arrayBuffer();
          note(response.status === 200 ? 'chat' : `status ${response.status}`);
        }
      } catch (error) {
        note(String(error));
      }
    }
  });
  return {
    stop: async () => {
      running = false;
      await Promise.all(clients);
      return outcomes;
    },
  };
}

test('hundreds of requests under reloads that change everything: not one fails', async () => {
  await using fleet = await startFileFleet({}, { workers: [{}, {}, {}, {}] });
  const [always = '', b = '', c = '', d = ''] = fleet.urls;
  const steps: readonly FileConfig[] = [
    { worker_urls: [always, b], policy: 'consistent_hash', request_timeout_secs: 100 },
    {
      worker_urls: [always, c, d],
      policy: 'least_work',
      max_concurrent_requests: 500,
      connect_timeout_secs: 5,
    },
    { worker_urls: [always, b, d], policy: 'round_robin', circuit_breaker: { failure_threshold: 3 } },
    {
      policy: { type: 'cache_aware', cache_threshold: 0.5 },
      queue_size: 50,
      cache_index: { max_bytes: 1 << 20 },
    },
    {
      worker_urls: [always],
      policy: 'power_of_two',
      max_inflight_body_bytes: 1 << 26,
      retry: { max_retries: 2 },
    },
    { worker_urls: [always, b, c, d], decision_ring: { max_records: 100 }, log_level: 'warn' },
  ];
  const load = keepAsking(fleet);
  for (let at = 0; at < 30; at++) {
    const step = steps[at % steps.length];
    if (!step) assert.fail();
    const { total } = fleet.app.runtime.decisions;
    fleet.write(step);
    const { status, body } = await fleet.reload();
    assert.deepEqual([status, body.status], [200, 'ok'], JSON.stringify(body));
    // Every configuration is lived with for a while.
    await eventually(() => fleet.app.runtime.decisions.total >= total + 15);
    if (at % 7 === 3) {
      fleet.writeText('worker_urls: nonsense\n');
      assert.equal((await fleet.reload()).status, 400);
    }
  }
  const outcomes = await load.stop();
  assert.deepEqual(Object.keys(outcomes).sort(), ['chat', 'stream'], JSON.stringify(outcomes));
  assert.ok((outcomes['chat'] ?? 0) > 200 && (outcomes['stream'] ?? 0) > 100, JSON.stringify(outcomes));
  // Whoever was removed in the end has left; the last file named all four.
  await eventually(() => fleet.app.openJobs === 0);
  assert.deepEqual(fleet.app.runtime.registry.workers.map(({ id }) => id).sort(), [...fleet.urls].sort());
  const metrics = await scrape(fleet);
  assert.equal(metrics.value('vllm_router_config_reloads_total', { result: 'success' }), 30);
  assert.equal(metrics.value('vllm_router_config_reloads_total', { result: 'refused' }), 4);
});

test('a fleet that is replaced as a whole is never without a worker', async () => {
  await using fleet = await startFileFleet(([a = '', b = '']) => ({ worker_urls: [a, b] }), {
    // Healthy only at the second look.
    workers: [{}, {}, { faults: ['status:code=503,path=/health,times=1'] }, {}],
  });
  const load = keepAsking(fleet);
  const [a = '', b = '', c = '', d = ''] = fleet.urls;
  for (let round = 0; round < 3; round++)
    for (const worker_urls of [[c], [a], [d], [b]]) {
      fleet.write({ worker_urls });
      assert.equal((await fleet.reload()).body.workers_added.length, 1);
      const { registry } = fleet.app.runtime;
      await eventually(() => registry.workers.length === 1 && registry.workers[0]?.health.healthy === true);
    }
  const outcomes = await load.stop();
  assert.deepEqual(Object.keys(outcomes).sort(), ['chat', 'stream'], JSON.stringify(outcomes));
});

test('where nobody comes in its place, a removed worker serves on, and stays when it is named again', async () => {
  await using fleet = await startFileFleet({}, { workers: [{}] });
  const [url = ''] = fleet.urls;
  const nobody = 'http://127.0.0.1:9';
  fleet.write({ worker_urls: [nobody] });
  const { body } = await fleet.reload();
  assert.deepEqual([body.workers_added, body.workers_drained], [[nobody], [url]]);
  assert.equal((await chat(fleet)).status, 200);
  fleet.write({});
  const { body: back } = await fleet.reload();
  assert.deepEqual([back.workers_added, back.workers_drained], [[url], [nobody]]);
  const { registry } = fleet.app.runtime;
  await eventually(() => registry.workers.length === 1 && fleet.app.openJobs === 0);
  assert.deepEqual([registry.get(url)?.draining, (await chat(fleet)).status], [false, 200]);
});

test('a stream on a removed worker goes on to its end, and only then the worker leaves', async () => {
  await using fleet = await startFileFleet({ policy: 'round_robin' }, { workers: [{ timeScale: 1 }, {}] });
  const [slow = '', fast = ''] = fleet.urls;
  const response = await streamChat(fleet, { max_tokens: 40, min_tokens: 40 });
  assert.equal(workerOf(response), slow);
  const body = pieces(response);
  await body.next();
  fleet.write({ worker_urls: [fast] });
  const { body: report } = await fleet.reload();
  assert.deepEqual([report.workers_drained, report.workers_added], [[slow], []]);
  const leaving = fleet.app.runtime.registry.get(slow);
  assert.equal(leaving?.draining, true);
  for (let i = 0; i < 4; i++) assert.equal(workerOf(await chat(fleet)), fast);
  let text = '';
  for await (const piece of body) text += piece;
  assert.ok(text.trimEnd().endsWith('data: [DONE]'));
  await eventually(() => fleet.app.runtime.registry.get(slow) === undefined);
});

test('named again while it is being drained, a worker takes requests again', async () => {
  await using fleet = await startFileFleet({ policy: 'round_robin' }, { workers: [{ timeScale: 1 }, {}] });
  const [slow = '', fast = ''] = fleet.urls;
  const response = await streamChat(fleet, { max_tokens: 60, min_tokens: 60 });
  const body = pieces(response);
  await body.next();
  const worker = fleet.app.runtime.registry.get(slow);
  fleet.write({ worker_urls: [fast] });
  await fleet.reload();
  fleet.write({ worker_urls: [fast, slow] });
  const { body: report } = await fleet.reload();
  assert.deepEqual([report.workers_added, report.workers_drained], [[slow], []]);
  assert.equal(fleet.app.runtime.registry.get(slow), worker);
  assert.deepEqual([worker?.draining, worker?.health.healthy], [false, true]);
  for await (const piece of body) assert.ok(piece);
  assert.equal(fleet.app.openJobs, 0);
});

test('a request keeps the settings that it began with', async () => {
  await using fleet = await startFileFleet({}, { workers: [{ timeScale: 1 }] });
  const response = await streamChat(fleet, { max_tokens: 40, min_tokens: 40 });
  const body = pieces(response);
  await body.next();
  // Shorter than the time from one token to the next.
  fleet.write({ stream_idle_timeout_secs: 0.001, request_timeout_secs: 0.05 });
  await fleet.reload();
  let text = '';
  for await (const piece of body) text += piece;
  assert.ok(text.trimEnd().endsWith('data: [DONE]'), 'the old times hold for it');
  const late = await chat(fleet, { max_tokens: 100, min_tokens: 100 });
  assert.equal(late.status, 504);
});

test('what was learnt is kept: index, pins, breakers, loads', async () => {
  await using fleet = await startFileFleet({ policy: 'cache_aware' }, { workers: [{}, {}, {}] });
  const messages = [{ role: 'user', content: 'the same long prompt '.repeat(200) }];
  const warm = workerOf(await chat(fleet, { messages }));
  await eventually(() => (fleet.app.runtime.cacheIndex?.entries ?? 0) > 0);
  const { registry, ledger } = fleet.app.runtime;
  const failing = registry.workers.find(({ id }) => id !== warm);
  if (!failing) assert.fail();
  for (let i = 0; i < 10; i++) failing.breaker.permit(fleet.app.runtime.clock.now()).failure();
  assert.equal(failing.breaker.state(fleet.app.runtime.clock.now()), 'open');
  const lease = ledger.acquire(failing.slot, { prefillTokens: 10, kvTokens: 10, stream: true });
  const explained = async (): Promise<Parsed> =>
    (
      await fleet.admin('POST', '/admin/explain', {
        path: '/v1/chat/completions',
        body: { model: 'sim-model', messages, max_tokens: 4 },
      })
    ).body;
  const before = await explained();
  assert.equal(before.reason, 'warmest');

  fleet.write({
    policy: 'cache_aware',
    cache_index: { max_bytes: 1 << 20 },
    circuit_breaker: { failure_threshold: 4 },
    retry: { max_retries: 2 },
  });
  const { body: report } = await fleet.reload();
  assert.deepEqual(
    report.changed.map(({ key, how }: Parsed) => [key, how]),
    [
      ['cache_index.max_bytes', 'adopted'],
      ['retry.max_retries', 'applied'],
      ['circuit_breaker.failure_threshold', 'adopted'],
    ],
  );
  const after = await explained();
  assert.deepEqual(
    [after.worker, after.reason, after.predicted_cached_tokens],
    [warm, 'warmest', before.predicted_cached_tokens],
  );
  assert.equal(failing.breaker.state(fleet.app.runtime.clock.now()), 'open');
  assert.equal(ledger.own(failing.slot), 1);
  lease.release();
});
