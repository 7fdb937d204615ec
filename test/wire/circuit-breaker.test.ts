/** A worker that fails again and again is left alone for a while, and only for what is its own failure. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../src/base/virtual-clock.ts';
import type { RouterOptions } from '../../src/config/load/options.ts';
import { chat, readBody, workerOf } from '../support/chat.ts';
import { answering } from '../support/fleet-shape.ts';
import { startFleet, type Fleet } from '../support/fleet.ts';
import { scrape } from '../support/metrics.ts';

/** One attempt per request, so that every failure is seen. */
const ROUTER: RouterOptions = {
  policy: 'round_robin',
  disableRetries: true,
  circuitBreaker: { failureThreshold: 3, windowDurationSecs: 10, timeoutDurationSecs: 60 },
};

function posts(fleet: Fleet, worker: number): number {
  return fleet.workers[worker]!.seen.filter(({ method }) => method === 'POST').length;
}

/** Sends chats one after the other; their statuses. */
async function chats(fleet: Fleet, count: number): Promise<number[]> {
  const statuses: number[] = [];
  for (let turn = 0; turn < count; turn += 1) {
    const response = await chat(fleet, { user: String(turn) });
    await response.text();
    statuses.push(response.status);
  }
  return statuses;
}

test('it opens at the threshold: the worker gets nothing more, the others everything', async () => {
  await using fleet = await startFleet({ workers: [{ faults: ['status:code=503'] }, {}], router: ROUTER });
  const [bad] = fleet.workers;
  assert.deepEqual(await chats(fleet, 10), [503, 200, 503, 200, 503, 200, 200, 200, 200, 200]);
  assert.equal(posts(fleet, 0), 3);
  const { candidates } = await fleet.decision();
  assert.equal(candidates?.find(({ worker }) => worker === bad!.url)?.state, 'breaker_open');
  const metrics = await scrape(fleet);
  assert.equal(metrics.value('vllm_router_cb_state', { worker: bad!.url }), 1);
  assert.equal(metrics.sum('vllm_router_cb_outcomes_total', { worker: bad!.url, outcome: 'failure' }), 3);
  assert.equal(metrics.sum('vllm_router_cb_state_transitions_total'), 1);
  assert.equal((await fetch(`${fleet.url}/readiness`)).status, 200);
});

for (const code of [502, 503, 504]) {
  test(`${code} is a failure`, async () => {
    await using fleet = await startFleet({
      workers: [{ faults: [`status:code=${code}`] }, {}],
      router: ROUTER,
    });
    await chats(fleet, 8);
    assert.equal(posts(fleet, 0), 3);
  });
}

for (const fault of ['close', 'reset', 'garbage', 'length:by=10']) {
  test(`${fault} is a failure`, async () => {
    await using fleet = await startFleet({ router: ROUTER });
    await fleet.workers[0]!.setFaults([fault]);
    for (let turn = 0; turn < 10; turn += 1) await readBody(await chat(fleet));
    const metrics = await scrape(fleet);
    assert.equal(metrics.sum('vllm_router_cb_state_transitions_total', { to: 'open' }), 1);
    assert.equal(metrics.sum('vllm_router_cb_outcomes_total', { outcome: 'failure' }), 3);
  });
}

test('failures that do not lie within the window do not add up', async () => {
  const clock = new VirtualClock();
  await using fleet = await startFleet({ workers: [{ faults: ['status:code=503'] }], router: ROUTER, clock });
  for (let turn = 0; turn < 6; turn += 1) {
    await chats(fleet, 1);
    clock.advance(6_000);
  }
  assert.equal((await scrape(fleet)).sum('vllm_router_cb_state_transitions_total'), 0);
  await chats(fleet, 2);
  assert.equal((await scrape(fleet)).sum('vllm_router_cb_state_transitions_total', { to: 'open' }), 1);
});

test('a success in between starts the count anew', async () => {
  await using fleet = await startFleet({ workers: [{}], router: ROUTER });
  for (let round = 0; round < 3; round += 1) {
    await fleet.workers[0]!.setFaults(['status:code=503,times=2']);
    assert.deepEqual(await chats(fleet, 3), [503, 503, 200]);
  }
  assert.equal((await scrape(fleet)).sum('vllm_router_cb_state_transitions_total'), 0);
});

test('what clients do wrong, and what they give up, counts nothing', async () => {
  await using fleet = await startFleet({ workers: [{}], router: ROUTER });
  const [worker] = fleet.workers;
  for (const code of [400, 401, 404, 408, 413, 422, 429]) {
    await worker!.setFaults([`status:code=${code}`]);
    await chats(fleet, 3);
  }
  await worker!.setFaults(['hang']);
  for (let turn = 0; turn < 4; turn += 1) {
    const controller = new AbortController();
    const arrived = worker!.next('request');
    const aborted = worker!.next('aborted');
    const response = chat(fleet, {}, { signal: controller.signal });
    await arrived;
    controller.abort();
    await assert.rejects(response);
    await aborted;
  }
  const metrics = await scrape(fleet);
  assert.equal(metrics.sum('vllm_router_cb_outcomes_total', { worker: worker!.url }), 0);
  assert.equal(metrics.sum('vllm_router_cb_outcomes_total', { outcome: 'failure' }), 0);
  assert.equal(metrics.sum('vllm_router_cb_state_transitions_total'), 0);
});

test('a poison prompt counts on its first worker only: it cannot open the fleet', async () => {
  await using fleet = await startFleet({
    workers: Array.from({ length: 4 }, () => ({ faults: ['status:code=500'] })),
    router: { ...ROUTER, disableRetries: false, retry: { maxRetries: 4, initialBackoffMs: 1 } },
  });
  assert.deepEqual(await chats(fleet, 1), [500]);
  const attempts = answering(await fleet.decision());
  assert.equal(new Set(attempts.map(({ worker }) => worker)).size, 4);
  const metrics = await scrape(fleet);
  assert.equal(metrics.sum('vllm_router_cb_outcomes_total', { outcome: 'failure' }), 1);
  assert.equal(
    metrics.value('vllm_router_cb_outcomes_total', { worker: attempts[0]!.worker, outcome: 'failure' }),
    1,
  );
});

test('when breakers alone exclude everybody, the one that failed longest ago is asked', async () => {
  const clock = new VirtualClock();
  await using fleet = await startFleet({
    workers: [{ faults: ['status:code=503'] }, { faults: ['status:code=503'] }],
    clock,
    router: { ...ROUTER, circuitBreaker: { failureThreshold: 1, timeoutDurationSecs: 60 } },
  });
  const [first, second] = fleet.workers;
  assert.equal(workerOf(await chat(fleet)), first!.url);
  clock.advance(1_000);
  assert.equal(workerOf(await chat(fleet)), second!.url);
  assert.equal((await scrape(fleet)).value('vllm_router_cb_fail_open_total'), 0);

  clock.advance(1_000);
  await first!.setFaults([]);
  const response = await chat(fleet);
  assert.equal(response.status, 200);
  assert.equal(workerOf(response), first!.url);
  await response.text();
  assert.equal((await scrape(fleet)).value('vllm_router_cb_fail_open_total'), 1);
  // While open, successes say nothing: it stays open until its time is up.
  assert.equal((await scrape(fleet)).sum('vllm_router_cb_state'), 2);
});

test('a disabled breaker never opens', async () => {
  await using fleet = await startFleet({
    workers: [{ faults: ['status:code=503'] }, {}],
    router: { ...ROUTER, disableCircuitBreaker: true },
  });
  await chats(fleet, 40);
  assert.equal(posts(fleet, 0), 20);
});
