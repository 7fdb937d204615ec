/** What workers say about when to come back is heeded, and so may be what we say. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../src/base/virtual-clock.ts';
import { chat, workerOf } from '../support/chat.ts';
import { answering } from '../support/fleet-shape.ts';
import { eventually, roundTrip, startFleet } from '../support/fleet.ts';
import { scrape } from '../support/metrics.ts';

test('Retry-After is waited for', async () => {
  const clock = new VirtualClock();
  await using fleet = await startFleet({
    workers: [{ faults: ['status:code=429,retry_after=2'] }, {}],
    clock,
    router: { policy: 'round_robin' },
  });
  const [a, b] = fleet.workers;
  const refused = a!.next('finished', ({ method }) => method === 'POST');
  const response = chat(fleet);
  await refused;
  const posts = (): number => b!.seen.filter(({ method }) => method === 'POST').length;
  const { ledger } = fleet.app.runtime;
  await eventually(() => ledger.openLeases === 0);
  clock.advance(1_999);
  await roundTrip(fleet);
  assert.equal(posts(), 0);
  assert.equal(ledger.openLeases, 0);
  clock.advance(1);
  assert.equal(workerOf(await response), b!.url);
  await (await response).json();
  assert.equal(posts(), 1);
});

test('a Retry-After above the longest pause ends retrying and is passed on', async () => {
  await using fleet = await startFleet({
    workers: [{ faults: ['status:code=503,retry_after=31'] }, {}],
    router: { policy: 'round_robin', retry: { maxBackoffMs: 30_000 } },
  });
  const response = await chat(fleet);
  assert.equal(response.status, 503);
  assert.equal(response.headers.get('retry-after'), '31');
  await response.text();
  assert.equal(answering(await fleet.decision()).length, 1);
  assert.equal(fleet.workers[1]!.seen.filter(({ method }) => method === 'POST').length, 0);
});

test('our own 503 says when to come back and is not tried again', async () => {
  await using fleet = await startFleet({ workers: [] });
  const response = await chat(fleet);
  assert.equal(response.status, 503);
  assert.equal(response.headers.get('retry-after'), '1');
  const { error } = (await response.json()) as { error: { code: string } };
  assert.equal(error.code, 'no_worker_available');
  const decision = await fleet.decision();
  assert.equal(decision.attempts.length, 0);
  assert.equal(decision.outcome, 'router_error');
  const metrics = await scrape(fleet);
  assert.equal(metrics.sum('vllm_router_retries_total'), 0);
  assert.equal(metrics.sum('vllm_router_request_errors_total', { error_type: 'no_available_workers' }), 1);
});
