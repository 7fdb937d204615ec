/** Who is let in, who waits, who is sent away, and that a place is given back exactly when a response has ended. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../src/base/virtual-clock.ts';
import { chat, pieces, streamChat } from '../support/chat.ts';
import { LEGS } from '../support/fleet-shape.ts';
import { eventually, startFleet, type Fleet } from '../support/fleet.ts';
import { scrape } from '../support/metrics.ts';

async function queued(fleet: Fleet, count: number): Promise<void> {
  const { admission } = fleet.app.runtime;
  await eventually(() => admission.queued === count);
}

/** Takes a place and keeps it until left. */
async function holdPlace(fleet: Fleet): Promise<{ leave(): Promise<void> }> {
  const controller = new AbortController();
  const arrived = fleet.workers[0]!.next('request');
  const response = chat(fleet, { user: 'holds the place' }, { signal: controller.signal });
  await arrived;
  return {
    leave: async () => {
      controller.abort();
      await response.catch(() => undefined);
    },
  };
}

async function errorOf(response: Response): Promise<{ code: string; type: string; message: string }> {
  return ((await response.json()) as { error: { code: string; type: string; message: string } }).error;
}

test('a stream keeps its place until it has ended, not until its head', async () => {
  await using fleet = await startFleet({ workers: [{}], router: { maxConcurrentRequests: 1 } });
  const [worker] = fleet.workers;
  await worker!.setFaults(['hang:after=2,times=1']);
  const controller = new AbortController();
  const stream = await streamChat(fleet, {}, { signal: controller.signal });
  await pieces(stream).next();
  const second = chat(fleet);
  await queued(fleet, 1);
  const { admission } = fleet.app.runtime;
  assert.equal(admission.inFlight, 1);
  const metrics = await scrape(fleet);
  assert.equal(metrics.value('vllm_router_inflight_requests'), 1);
  assert.equal(metrics.value('vllm_router_queued_requests', { class: 'normal' }), 1);
  controller.abort();
  const response = await second;
  assert.equal(response.status, 200);
  assert.match(response.headers.get('server-timing') ?? '', /queue;dur=\d/);
  await response.text();
  assert.ok((await fleet.decision()).queue_ms > 0);
  await eventually(() => admission.inFlight === 0);
});

test('first come, first served', async () => {
  await using fleet = await startFleet({
    workers: [{ faults: ['hang:times=1'] }],
    router: { maxConcurrentRequests: 1 },
  });
  const holder = await holdPlace(fleet);
  const responses: Promise<Response>[] = [];
  for (let turn = 1; turn <= 5; turn += 1) {
    responses.push(chat(fleet, { user: `turn ${turn}` }));
    await queued(fleet, turn);
  }
  await holder.leave();
  for (const response of responses) await (await response).text();
  const order = fleet.workers[0]!.seen.map(({ body }) => /turn \d/.exec(String(body))?.[0]).filter(Boolean);
  assert.deepEqual(order, ['turn 1', 'turn 2', 'turn 3', 'turn 4', 'turn 5']);
});

test('when the queue is full: 429 at once, with Retry-After, and no worker hears of it', async () => {
  await using fleet = await startFleet({
    workers: [{ faults: ['hang:times=1'] }],
    router: { maxConcurrentRequests: 1, queueSize: 1 },
  });
  const holder = await holdPlace(fleet);
  const waiting = chat(fleet);
  await queued(fleet, 1);
  const response = await chat(fleet, { user: 'too many' });
  assert.equal(response.status, 429);
  assert.equal(response.headers.get('retry-after'), '1');
  assert.deepEqual(await errorOf(response).then(({ code, type }) => [code, type]), [
    'queue_full',
    'rate_limit_error',
  ]);
  const { outcome, attempts } = await fleet.decision();
  assert.equal(outcome, 'rejected');
  assert.equal(attempts.length, 0);
  // What the router answers itself needs no place.
  assert.equal((await fetch(`${fleet.url}/v1/models`)).status, 200);
  await holder.leave();
  assert.equal((await waiting).status, 200);
  assert.ok(!fleet.workers[0]!.seen.some(({ body }) => body.includes('too many')));
  const metrics = await scrape(fleet);
  assert.equal(metrics.value('vllm_router_admission_rejections_total', { reason: 'queue_full' }), 1);
  assert.equal(metrics.sum('vllm_router_retries_total'), 0);
});

test('more than the rate lets in: 429 with a code of its own, though places are free', async () => {
  await using fleet = await startFleet({
    workers: [{}],
    router: { maxConcurrentRequests: 100, queueSize: 0, rateLimitTokensPerSecond: 0.01 },
  });
  assert.equal((await chat(fleet)).status, 200);
  const response = await chat(fleet);
  assert.equal(response.status, 429);
  assert.ok(Number(response.headers.get('retry-after')) > 1);
  const { code, type, message } = await errorOf(response);
  assert.deepEqual([code, type], ['router_rate_exceeded', 'rate_limit_error']);
  assert.match(message, /^more than 0\.01 requests per second/);
  const metrics = await scrape(fleet);
  const refused = (reason: string): number | undefined =>
    metrics.value('vllm_router_admission_rejections_total', { reason });
  assert.deepEqual([refused('router_rate_exceeded'), refused('queue_full') ?? 0], [1, 0]);
});

test('without a queue there is no waiting', async () => {
  await using fleet = await startFleet({
    workers: [{ faults: ['hang:times=1'] }],
    router: { maxConcurrentRequests: 1, queueSize: 0 },
  });
  const holder = await holdPlace(fleet);
  assert.equal((await chat(fleet)).status, 429);
  await holder.leave();
  await eventually(() => fleet.app.runtime.admission.inFlight === 0);
  assert.equal((await chat(fleet)).status, 200);
});

test('who waits too long: 408 with Retry-After', async () => {
  const clock = new VirtualClock();
  await using fleet = await startFleet({
    workers: [{ faults: ['hang:times=1'] }],
    clock,
    router: { maxConcurrentRequests: 1, queueTimeoutSecs: 60 },
  });
  const holder = await holdPlace(fleet);
  const waiting = chat(fleet);
  await queued(fleet, 1);
  clock.advance(59_999);
  assert.equal(fleet.app.runtime.admission.queued, 1);
  clock.advance(1);
  const response = await waiting;
  assert.equal(response.status, 408);
  assert.equal(response.headers.get('retry-after'), '1');
  assert.equal((await errorOf(response)).code, 'queue_timeout');
  const metrics = await scrape(fleet);
  assert.equal(metrics.value('vllm_router_admission_rejections_total', { reason: 'queue_timeout' }), 1);
  assert.equal(metrics.value('vllm_router_queue_duration_seconds_sum', { class: 'normal' }), 60);
  assert.equal((await fleet.decision()).queue_ms, 60_000);
  await holder.leave();
});

test('the rate limit lets in a bucketful, and then one by one', async () => {
  const clock = new VirtualClock();
  await using fleet = await startFleet({
    workers: [{}],
    clock,
    router: { rateLimitTokensPerSecond: 2, queueSize: 1 },
  });
  for (let turn = 0; turn < 2; turn += 1) assert.equal((await chat(fleet)).status, 200);
  const waiting = chat(fleet);
  await queued(fleet, 1);
  const refused = await chat(fleet);
  assert.equal(refused.status, 429);
  assert.equal(refused.headers.get('retry-after'), '1');
  clock.advance(499);
  assert.equal(fleet.app.runtime.admission.queued, 1);
  clock.advance(1);
  assert.equal((await waiting).status, 200);
  clock.advance(10_000);
  const burst = await Promise.all([chat(fleet), chat(fleet)]);
  assert.deepEqual(
    burst.map(({ status }) => status),
    [200, 200],
  );
});

test('as many are inside as may be, the others wait', async () => {
  await using fleet = await startFleet({
    workers: [{ faults: ['hang'] }],
    router: { maxConcurrentRequests: 7, queueSize: 20 },
  });
  const [worker] = fleet.workers;
  const controller = new AbortController();
  const responses = Array.from({ length: 20 }, () => chat(fleet, {}, { signal: controller.signal }));
  await queued(fleet, 13);
  const posts = (): number => worker!.seen.filter(({ method }) => method === 'POST').length;
  await eventually(() => posts() === 7);
  assert.equal(fleet.app.runtime.admission.inFlight, 7);
  controller.abort();
  await Promise.allSettled(responses);
});

test('a crowd at a small door: never more inside than may be, and everybody gets in', async () => {
  await using fleet = await startFleet({
    router: { maxConcurrentRequests: 7, queueSize: 400 },
  });
  const { admission, ledger } = fleet.app.runtime;
  let most = 0;
  for (const worker of fleet.workers) {
    worker.on(() => (most = Math.max(most, admission.inFlight, ledger.openLeases / LEGS)));
  }
  const statuses = await Promise.all(
    Array.from({ length: 400 }, async (_, index) => {
      const response = await chat(fleet, { stream: index % 2 === 0 });
      await response.text();
      return response.status;
    }),
  );
  assert.deepEqual(new Set(statuses), new Set([200]));
  assert.ok(most > 1 && most <= 7, String(most));
});
