import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KeptSeries } from './kept-series.ts';
import { createMetrics } from './metrics.ts';
import { recordDecision, type FinishedRequest } from './record-decision.ts';
import { Registry } from './registry.ts';

function request(worker: string, more: Partial<FinishedRequest> = {}): FinishedRequest {
  return {
    ...{ request_id: 'r', http_method: 'POST', route: '/v1/chat/completions', status: 200, outcome: 'ok' },
    ...{ stream: false, method: 'policy', policy: 'least_work', queue_ms: 0, duration_ms: 5, total_ms: 5 },
    ...{ request_bytes: 1, response_bytes: 1, prompt_tokens: 10, completion_tokens: 2 },
    attempts: [{ worker, reason: 'x', duration_ms: 5 }],
    worker,
    ...more,
  };
}

/** The lines of the requests that workers got. */
async function perWorker(metrics: ReturnType<typeof createMetrics>): Promise<string[]> {
  const lines = (await metrics.registry.text()).split('\n');
  return lines.filter((line) => line.startsWith('vllm_router_worker_requests_total{'));
}

test('what differs in a label is counted apart, however the requests alternate', async () => {
  const metrics = createMetrics();
  for (const worker of ['a', 'b']) metrics.workerJoined(worker);
  for (let round = 0; round < 3; round += 1)
    for (const worker of ['a', 'b']) {
      recordDecision(metrics, request(worker), 'm');
      recordDecision(metrics, request(worker, { status: 404 }), 'm');
      recordDecision(metrics, request(worker, { method: 'owner' }), 'n');
      recordDecision(metrics, request(worker, { tenant: 't', http_method: 'PUT' }), 'm');
    }
  const text = await metrics.registry.text();
  const counted = (start: string): number[] =>
    text.split('\n').flatMap((line) => (line.startsWith(start) ? [Number(line.split(' ').at(-1))] : []));
  assert.deepEqual(
    counted('vllm_router_worker_requests_total{').toSorted((a, b) => a - b),
    [3, 3, 9, 9],
  );
  assert.deepEqual(
    counted('vllm_router_prompt_tokens_total{').toSorted((a, b) => a - b),
    [60, 180],
  );
  assert.deepEqual(counted('vllm_router_tenant_requests_total{'), [6]);
  assert.deepEqual(
    counted('vllm_router_http_requests_total{').toSorted((a, b) => a - b),
    [6, 6, 12],
  );
});

test('a worker that has left takes its series along, and they begin anew when it comes back', async () => {
  const metrics = createMetrics();
  metrics.workerJoined('w');
  recordDecision(metrics, request('w'), 'm');
  metrics.workerLeft('w');
  // One that has outlived its worker.
  recordDecision(metrics, request('w'), 'm');
  assert.deepEqual(await perWorker(metrics), []);
  metrics.workerJoined('w');
  recordDecision(metrics, request('w'), 'm');
  recordDecision(metrics, request('w'), 'm');
  assert.deepEqual(
    (await perWorker(metrics)).map((line) => line.split(' ').at(-1)),
    ['2'],
  );
});

test('of a fleet that has grown large the histograms per worker lose their routes', async () => {
  const metrics = createMetrics();
  metrics.workerJoined('w0');
  recordDecision(metrics, request('w0'), 'm');
  for (let n = 1; n <= 64; n += 1) metrics.workerJoined(`w${n}`);
  recordDecision(metrics, request('w0'), 'm');
  const lines = (await metrics.registry.text()).split('\n');
  const counts = lines.filter((line) => /^vllm_router_worker_request_duration_seconds_count/.test(line));
  assert.deepEqual(counts.toSorted(), [
    'vllm_router_worker_request_duration_seconds_count{route="/v1/chat/completions",worker="w0"} 1',
    'vllm_router_worker_request_duration_seconds_count{worker="w0"} 1',
  ]);
});

test('a series that has no place is counted as such each time, and shown as soon as there is one', async () => {
  let dropped = 0;
  const registry = new Registry({ maxSeriesPerFamily: 1, onDropped: () => (dropped += 1) });
  const family = registry.counter('x_total', 'x', ['route']);
  const kept = new KeptSeries(registry);
  const count = (route: string): void => {
    const series = kept.ofRequest({ route, status: 200 }, 'POST', 'm');
    (series.requests ??= family.with(route)).inc();
  };
  for (const route of ['a', 'b', 'b', 'a']) count(route);
  assert.equal(dropped, 2);
  family.remove('a');
  for (const route of ['b', 'b']) count(route);
  assert.equal(dropped, 2);
  assert.match(await registry.text(), /x_total\{route="b"\} 2\n$/);
});

test('keeps a bounded number', () => {
  const kept = new KeptSeries(new Registry());
  const first = kept.ofRequest({ route: 'r0', status: 200 }, 'GET', '');
  assert.equal(kept.ofRequest({ route: 'r0', status: 200 }, 'GET', ''), first);
  for (let n = 1; n <= 5_000; n += 1) kept.ofRequest({ route: `r${n}`, status: 200 }, 'GET', '');
  assert.notEqual(kept.ofRequest({ route: 'r0', status: 200 }, 'GET', ''), first);
});
