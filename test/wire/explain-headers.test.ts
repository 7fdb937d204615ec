/** The headers that say which worker answered and why: names and values are a contract. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EXPOSED_HEADERS } from '../../src/http/exposed-headers.ts';
import { EXPLAIN_HEADERS } from '../../src/request/answer/explain.ts';
import { chat, streamChat } from '../support/chat.ts';
import { startFleet } from '../support/fleet.ts';
import { startRouter, startScriptedWorker } from '../support/scripted-worker.ts';

test('the ten names', () => {
  assert.deepEqual(EXPLAIN_HEADERS, [
    'x-vllm-router-worker',
    'x-vllm-router-prefill-worker',
    'x-vllm-router-method',
    'x-vllm-router-cluster',
    'x-vllm-router-policy',
    'x-vllm-router-model',
    'x-vllm-router-cache-source',
    'x-vllm-router-cache-status',
    'x-vllm-router-cache-similarity',
    'x-vllm-router-hooks',
  ]);
});

test('scripts in a browser may read all of them', () => {
  const exposed: readonly string[] = EXPOSED_HEADERS;
  const readable = EXPLAIN_HEADERS.filter((name) => exposed.includes(name));
  assert.deepEqual(readable, EXPLAIN_HEADERS);
});

/** Those of ours that an answer carries. */
function explained(response: Response): Record<string, string> {
  return Object.fromEntries([...response.headers].filter(([name]) => name.startsWith('x-vllm-router-')));
}

for (const policy of [
  'random',
  'round_robin',
  'power_of_two',
  'consistent_hash',
  'rendezvous_hash',
  'cache_aware',
  'least_work',
] as const) {
  test(`${policy}: worker, method, policy and model, on streams too`, async () => {
    await using fleet = await startFleet({ router: { policy } });
    for (const send of [chat, streamChat]) {
      const response = await send(fleet);
      await response.text();
      const {
        'x-vllm-router-worker': worker,
        'x-vllm-router-cache-source': source,
        ...rest
      } = explained(response);
      assert.ok(fleet.workers.some(({ url }) => url === worker));
      if (policy === 'cache_aware' || policy === 'least_work')
        assert.match(source ?? '', /^predicted; tokens=\d+$/);
      else assert.equal(source, undefined);
      const [prefill] = fleet.prefills;
      assert.deepEqual(rest, {
        ...(prefill && { 'x-vllm-router-prefill-worker': prefill.url }),
        'x-vllm-router-method': 'policy',
        'x-vllm-router-policy': policy,
        'x-vllm-router-model': 'sim-model',
      });
    }
  });
}

test('on a worker’s errors as well', async () => {
  await using worker = await startScriptedWorker((response) => response.writeHead(422).end('{}'));
  await using fleet = await startRouter([worker]);
  const response = await chat(fleet);
  assert.equal(response.status, 422);
  assert.equal(explained(response)['x-vllm-router-worker'], worker.url);
});

test('an error of the router’s own names what is known of it', async () => {
  await using fleet = await startFleet({
    workers: [{ faults: ['close'] }],
    router: { disableRetries: true },
  });
  const response = await chat(fleet);
  assert.equal(response.status, 502);
  assert.equal(explained(response)['x-vllm-router-worker'], fleet.workers[0]?.url);
  assert.equal(explained(response)['x-vllm-router-model'], 'sim-model');
});

test('before anything was chosen there is nothing to say', async () => {
  await using fleet = await startFleet({
    router: { modelRules: [{ match: 'other', rewrite: 'sim-model' }] },
  });
  const response = await fetch(`${fleet.url}/v1/chat/completions`, { method: 'POST', body: '{' });
  assert.equal(response.status, 400);
  assert.deepEqual(explained(response), {});
});

test('a model name that is no header value is encoded, and cut', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker]);
  assert.equal(
    explained(await chat(fleet, { model: 'größe\r\nx-evil: 1' }))['x-vllm-router-model'],
    'gr%C3%B6%C3%9Fe%0D%0Ax-evil:%201',
  );
  const long = explained(await chat(fleet, { model: 'm'.repeat(5_000) }))['x-vllm-router-model'];
  assert.equal(long, 'm'.repeat(256));
});

test('expose_routing_headers off: none of them, also on errors and streams; the id stays', async () => {
  await using fleet = await startFleet({
    router: { exposeRoutingHeaders: false, modelRules: [{ match: 'other', rewrite: 'sim-model' }] },
  });
  const broken = await fetch(`${fleet.url}/v1/chat/completions`, { method: 'POST', body: '{' });
  for (const response of [await chat(fleet), await streamChat(fleet), broken]) {
    await response.text();
    assert.deepEqual(explained(response), {});
    assert.ok(response.headers.get('x-request-id'));
  }
  // Nor are the workers' addresses told in another way.
  const info = await (await fetch(`${fleet.url}/get_server_info`)).text();
  assert.ok(fleet.workers.every(({ url }) => !info.includes(url)));
});

test('server-timing: the router’s own share, and the worker’s', async () => {
  await using fleet = await startFleet({ workers: [{}] });
  const response = await chat(fleet);
  const [, own = '', theirs = ''] =
    /^router;dur=([\d.]+), worker;dur=([\d.]+)$/.exec(response.headers.get('server-timing') ?? '') ?? [];
  const decision = await fleet.decision();
  assert.ok(Number(own) >= 0 && Number(theirs) > 0);
  assert.ok(Number(own) + Number(theirs) <= decision.total_ms + 1);
});

test('server-timing: waiting in the queue is shown for itself', async () => {
  await using fleet = await startFleet({
    workers: [{ faults: ['delay:ms=30'] }],
    router: { maxConcurrentRequests: 1 },
  });
  const responses = await Promise.all([chat(fleet), chat(fleet)]);
  const timings = responses.map(({ headers }) => headers.get('server-timing') ?? '');
  const queued = timings.filter((timing) => timing.includes('queue;dur='));
  assert.equal(queued.length, 1);
  assert.ok(Number(/queue;dur=([\d.]+)/.exec(queued[0] ?? '')?.[1]) > 5);
});
