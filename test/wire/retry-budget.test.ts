/** Retries must not double an outage. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../src/base/virtual-clock.ts';
import { chat } from '../support/chat.ts';
import { advanceUntil, startFleet, type Fleet } from '../support/fleet.ts';
import { scrape } from '../support/metrics.ts';

const DOWN = { faults: ['status:code=503'] };

/** How many requests the worker was asked by so many clients. */
async function outage(fleet: Fleet, clock: VirtualClock, requests: number): Promise<number> {
  let asked = 0;
  const stop = fleet.workers[0]!.on(({ type, request }) => {
    if (type === 'request' && request.method === 'POST') asked += 1;
  });
  const answers = Array.from({ length: requests }, async (_, index) => {
    const response = await chat(fleet, { user: String(index) });
    assert.equal(response.status, 503);
    await response.text();
  });
  await advanceUntil(clock, 0.1, Promise.all(answers));
  stop();
  return asked;
}

function startOutage(clock: VirtualClock, retry: object = {}): Promise<Fleet> {
  return startFleet({
    workers: [DOWN],
    clock,
    router: { disableCircuitBreaker: true, retry: { initialBackoffMs: 1, jitterFactor: 0, ...retry } },
  });
}

test('a few failing requests may always retry: 10 in 10 s', async () => {
  const clock = new VirtualClock();
  await using fleet = await startOutage(clock);
  assert.equal(await outage(fleet, clock, 5), 5 + 10);
  assert.equal((await scrape(fleet)).sum('vllm_router_retry_budget_refusals_total'), 5);
  assert.equal(await outage(fleet, clock, 5), 5);
  clock.advance(10_000);
  assert.equal(await outage(fleet, clock, 2), 2 + 8);
});

test('in an outage of many requests a fifth is retried', async () => {
  const clock = new VirtualClock();
  await using fleet = await startOutage(clock);
  assert.equal(await outage(fleet, clock, 100), 100 + 20);
});

test('the budget is a setting', async () => {
  const clock = new VirtualClock();
  await using fleet = await startOutage(clock, { budgetRatio: 0, budgetFloor: 3 });
  assert.equal(await outage(fleet, clock, 20), 20 + 3);
});
