/** Workers may have other clients: their own metrics tell, and the router's choice heeds it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../src/base/virtual-clock.ts';
import type { RouterOptions } from '../../src/config/load/options.ts';
import type { SimWorker } from '../../src/sim/server/server.ts';
import { chat, streamChat, workerOf } from '../support/chat.ts';
import { answeringWorkers } from '../support/fleet-shape.ts';
import { advanceUntil, eventually, startFleet, type Fleet } from '../support/fleet.ts';
import { scrape } from '../support/metrics.ts';

const ROUTER: RouterOptions = {
  policy: 'power_of_two',
  loadCheckIntervalSecs: 5,
  // No check is late, however far the clock jumps.
  healthCheck: { checkIntervalSecs: 2_000_000, timeoutSecs: 1_000 },
};

function running(fleet: Fleet, worker: number): number {
  return fleet.app.runtime.ledger.running(answeringWorkers(fleet)[worker]!.slot);
}

/** Chats that somebody else has open at the worker. */
async function strangers(worker: SimWorker, count: number): Promise<{ leave(): Promise<void> }> {
  const controller = new AbortController();
  const fields = { max_tokens: 100_000, min_tokens: 100_000 };
  const before = worker.model.running;
  const streams = Array.from({ length: count }, () =>
    streamChat(worker, fields, { signal: controller.signal }),
  );
  for (const response of await Promise.all(streams)) void response.text().catch(() => undefined);
  await eventually(() => worker.model.running === before + count);
  return {
    leave: async () => {
      controller.abort();
      await eventually(() => worker.model.running === before);
    },
  };
}

/** The first time everybody is asked at once. */
async function firstPoll(fleet: Fleet): Promise<void> {
  await eventually(() => fleet.app.runtime.registry.workers.every(({ cacheConfig }) => cacheConfig));
}

/** One period later, when the answers are there. */
async function poll(fleet: Fleet, clock: VirtualClock): Promise<void> {
  const answered = Promise.all(
    fleet.workers.map((worker) => worker.next('finished', ({ url }) => url === '/metrics')),
  );
  await advanceUntil(clock, 100, answered);
}

test('load of others is seen, avoided, and forgotten when it is gone', async () => {
  const clock = new VirtualClock();
  await using fleet = await startFleet({ clock, router: ROUTER });
  await firstPoll(fleet);
  const [busy, idle] = fleet.workers;
  const others = await strangers(busy!, 6);
  assert.equal(running(fleet, 0), 0);
  await poll(fleet, clock);
  await eventually(() => running(fleet, 0) === 6);
  assert.equal(running(fleet, 1), 0);
  for (let turn = 0; turn < 10; turn += 1) {
    const response = await chat(fleet);
    await response.text();
    assert.equal(workerOf(response), idle!.url);
  }
  const metrics = await scrape(fleet);
  assert.equal(metrics.value('vllm_router_worker_load', { worker: busy!.url }), 6);
  assert.equal(metrics.value('vllm_router_running_requests', { worker: busy!.url }), 0);
  const { candidates } = await fleet.decision();
  assert.equal(candidates?.find(({ worker }) => worker === busy!.url)?.running, 6);

  await others.leave();
  await poll(fleet, clock);
  await eventually(() => running(fleet, 0) === 0);
});

test('our own requests are not counted twice', async () => {
  const clock = new VirtualClock();
  await using fleet = await startFleet({ clock, router: { ...ROUTER, policy: 'round_robin' } });
  await firstPoll(fleet);
  const controller = new AbortController();
  const fields = { max_tokens: 100_000, min_tokens: 100_000 };
  for (let turn = 0; turn < 4; turn += 1) {
    const response = await streamChat(fleet, fields, { signal: controller.signal });
    void response.text().catch(() => undefined);
  }
  const others = await strangers(fleet.workers[0]!, 2);
  await poll(fleet, clock);
  await eventually(() => running(fleet, 0) === 4);
  assert.equal(running(fleet, 1), 2);
  await others.leave();
  controller.abort();
});

test('what is told no more is believed for three periods', async () => {
  const clock = new VirtualClock();
  await using fleet = await startFleet({ clock, router: ROUTER });
  await firstPoll(fleet);
  const others = await strangers(fleet.workers[0]!, 3);
  await poll(fleet, clock);
  await eventually(() => running(fleet, 0) === 3);
  await others.leave();
  for (const worker of fleet.workers) await worker.setFaults(['status:code=500,path=/metrics']);
  const since = clock.now();
  await advanceUntil(
    clock,
    100,
    eventually(() => running(fleet, 0) === 0),
  );
  const believedMs = clock.now() - since;
  assert.ok(believedMs > 14_000 && believedMs < 16_000, `${believedMs} ms`);
});

test('each data-parallel rank has its own load', async () => {
  const clock = new VirtualClock();
  await using fleet = await startFleet({
    workers: [{ dataParallelSize: 2 }],
    clock,
    router: { ...ROUTER, intraNodeDataParallelSize: 2 },
  });
  await firstPoll(fleet);
  const controller = new AbortController();
  const fields = { max_tokens: 100_000, min_tokens: 100_000 };
  const stream = await streamChat(fleet.workers[0]!, fields, {
    signal: controller.signal,
    headers: { 'x-data-parallel-rank': '1' },
  });
  void stream.text().catch(() => undefined);
  await poll(fleet, clock);
  await eventually(() => running(fleet, 1) === 1);
  assert.equal(running(fleet, 0), 0);
  const { length } = fleet.workers[0]!.seen.filter(({ url }) => url === '/metrics');
  assert.equal(length, 2);
  controller.abort();
});
