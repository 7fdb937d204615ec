/** Requests that no worker can take wait for one, where that is configured; every way out of the wait is a clean one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../src/base/virtual-clock.ts';
import { startSimWorker } from '../../src/sim/server/server.ts';
import type { Worker } from '../../src/workers/worker.ts';
import { adminOf, settledWorker } from '../support/admin.ts';
import { chat, workerOf } from '../support/chat.ts';
import { answeringWorkers } from '../support/fleet-shape.ts';
import { eventually, roundTrip, startFleet, type Fleet, type FleetOptions } from '../support/fleet.ts';
import { scrape } from '../support/metrics.ts';
import { startScriptedWorker } from '../support/scripted-worker.ts';

type RouterOptions = NonNullable<FleetOptions['router']>;

const WAIT: RouterOptions = { engineWaitTimeoutSecs: 30 };

function waiting(fleet: Fleet, count: number): Promise<void> {
  return eventually(() => fleet.app.runtime.workerWait.size === count);
}

async function outcomes(fleet: Fleet, outcome: string): Promise<number | undefined> {
  return (await scrape(fleet)).value('vllm_router_engine_wait_total', { outcome });
}

async function errorOf(response: Response): Promise<{ code: string; message: string }> {
  return ((await response.json()) as { error: { code: string; message: string } }).error;
}

/** Whether it may be used is for the test to say: no checks come in between. */
function setHealthy(fleet: Fleet, worker: Worker | undefined, healthy: boolean): void {
  assert.ok(worker);
  const { registry } = fleet.app.runtime;
  for (let times = 0; times < 10 && worker.health.healthy !== healthy; times += 1)
    registry.reportCheck(worker, healthy, 'by the test');
}

test('an empty gateway holds a request until a worker for it is registered', async () => {
  const sim = await startSimWorker({ models: ['m'], timeScale: 0 });
  await using fleet = await startFleet({ workers: [], router: { ...WAIT, enableIgw: true } });
  const response = chat(fleet, { model: 'm' });
  await waiting(fleet, 1);
  assert.equal((await scrape(fleet)).value('vllm_router_engine_waiting_requests'), 1);
  const admin = adminOf(fleet);
  await admin('POST', '/workers', { url: sim.url, model_id: 'm' });
  await settledWorker(admin, sim.url);
  const answer = await response;
  assert.deepEqual([answer.status, workerOf(answer)], [200, sim.url]);
  assert.match(answer.headers.get('server-timing') ?? '', /wait;dur=\d/);
  await answer.text();
  const decision = await fleet.decision();
  assert.ok((decision.wait_ms ?? 0) > 0);
  assert.deepEqual([decision.outcome, decision.attempts.length, decision.queue_ms], ['ok', 1, 0]);
  assert.ok((decision.overhead_ms ?? Infinity) < (decision.wait_ms ?? 0) + 50);
  assert.equal(await outcomes(fleet, 'worker_came'), 1);
  await fleet.stop();
  await sim.stop();
});

test('a request waits out an outage of its worker', async () => {
  await using fleet = await startFleet({ workers: [{}], router: WAIT });
  const [worker] = answeringWorkers(fleet);
  setHealthy(fleet, worker, false);
  const response = chat(fleet);
  await waiting(fleet, 1);
  setHealthy(fleet, worker, true);
  assert.equal((await response).status, 200);
});

test('a request whose worker dies under it waits for its return', async () => {
  await using fleet = await startFleet({
    workers: [{}],
    router: {
      ...WAIT,
      retry: { initialBackoffMs: 1, maxRetries: 100, maxBackoffMs: 20, budgetFloor: 100 },
      healthCheck: { checkIntervalSecs: 0.05, failureThreshold: 1, successThreshold: 1 },
    },
  });
  const [sim] = fleet.workers;
  assert.ok(sim);
  await sim.setFaults(['hang']);
  const response = chat(fleet);
  await eventually(() => sim.seen.some(({ method }) => method === 'POST'));
  await sim.setFaults(['refuse']);
  await waiting(fleet, 1);
  await sim.setFaults([]);
  assert.equal((await response).status, 200);
  const { attempts, wait_ms: waitMs } = await fleet.decision();
  assert.ok(attempts.length > 1 && waitMs !== undefined && waitMs > 0);
});

test('a drain that is called off ends the wait', async () => {
  await using fleet = await startFleet({ workers: [{ faults: ['hang:after=2,times=1'] }], router: WAIT });
  const [sim] = fleet.workers;
  assert.ok(sim);
  const controller = new AbortController();
  const stream = await chat(fleet, { stream: true }, { signal: controller.signal });
  const admin = adminOf(fleet);
  assert.equal((await admin('DELETE', `/workers/${sim.url}`)).status, 202);
  const response = chat(fleet);
  await waiting(fleet, 1);
  const type = fleet.prefills.length > 0 ? 'decode' : 'regular';
  assert.equal(
    (await admin('POST', '/workers', { url: sim.url, worker_type: type })).body.status,
    'undrained',
  );
  assert.equal((await response).status, 200);
  controller.abort();
  await stream.text().catch(() => undefined);
});

test('after its time a request gets the 503 it would have got at once, and how long it waited', async () => {
  const clock = new VirtualClock();
  await using fleet = await startFleet({ workers: [{}], router: WAIT, clock });
  setHealthy(fleet, answeringWorkers(fleet)[0], false);
  const response = chat(fleet);
  await waiting(fleet, 1);
  clock.advance(29_999);
  assert.equal(fleet.app.runtime.workerWait.size, 1);
  clock.advance(1);
  const answer = await response;
  assert.deepEqual([answer.status, answer.headers.get('retry-after')], [503, '1']);
  const error = await errorOf(answer);
  assert.equal(error.code, 'no_worker_available');
  const available = fleet.prefills.length > 0 ? '; available: 1 prefill, 0 decode workers' : '';
  assert.ok(error.message.endsWith(`1 unhealthy)${available}; waited 30 s for one`), error.message);
  assert.equal((await fleet.decision()).wait_ms, 30_000);
  assert.equal(await outcomes(fleet, 'timeout'), 1);
});

test('several waits of one request take no longer together than one', async () => {
  const clock = new VirtualClock();
  await using worker = await startScriptedWorker((response) => response.writeHead(503).end('{}'));
  await using fleet = await startFleet({
    workers: [],
    extraWorkerUrls: [worker.url],
    router: { ...WAIT, retry: { initialBackoffMs: 1, jitterFactor: 0 } },
    clock,
  });
  const [first] = answeringWorkers(fleet);
  setHealthy(fleet, first, false);
  const response = chat(fleet);
  await waiting(fleet, 1);
  clock.advance(20_000);
  worker.answer = (answer) => {
    setHealthy(fleet, first, false);
    answer.writeHead(503).end('{}');
  };
  setHealthy(fleet, first, true);
  await eventually(() => worker.received.length === 1);
  // Out of the backoff and into the next wait.
  await eventually(() => {
    clock.advance(1);
    return fleet.app.runtime.workerWait.size === 1;
  });
  clock.advance(10_000);
  assert.equal((await response).status, 503);
  const { wait_ms: waited = 0 } = await fleet.decision();
  assert.ok(waited >= 30_000 && waited < 30_100, `${waited} ms`);
});

test('a client that leaves while it waits is noticed, and nothing stays behind', async () => {
  await using fleet = await startFleet({ workers: [{}], router: WAIT });
  setHealthy(fleet, answeringWorkers(fleet)[0], false);
  const controller = new AbortController();
  const response = chat(fleet, {}, { signal: controller.signal });
  await waiting(fleet, 1);
  controller.abort();
  await assert.rejects(response);
  await waiting(fleet, 0);
  const { outcome, status, attempts } = await fleet.decision();
  assert.deepEqual([outcome, status, attempts], ['client_abort', 499, []]);
  assert.equal(await outcomes(fleet, 'client_left'), 1);
  assert.equal(fleet.app.runtime.bodyBytes.held, 0);
});

test('the deadline of the request ends the wait', async () => {
  const clock = new VirtualClock();
  await using fleet = await startFleet({ workers: [{}], router: { ...WAIT, requestTimeoutSecs: 10 }, clock });
  setHealthy(fleet, answeringWorkers(fleet)[0], false);
  const response = chat(fleet);
  await waiting(fleet, 1);
  clock.advance(10_000);
  const answer = await response;
  assert.deepEqual([answer.status, (await errorOf(answer)).code], [504, 'deadline_exceeded']);
  assert.equal(await outcomes(fleet, 'deadline'), 1);
});

test('shutting down sends those who wait away', async () => {
  await using fleet = await startFleet({ workers: [{}], router: WAIT });
  setHealthy(fleet, answeringWorkers(fleet)[0], false);
  const response = chat(fleet);
  await waiting(fleet, 1);
  const stopped = fleet.app.stop();
  const answer = await response;
  assert.deepEqual([answer.status, (await errorOf(answer)).code], [503, 'shutting_down']);
  await stopped;
});

test('above queue_size nobody else waits', async () => {
  await using fleet = await startFleet({ workers: [{}], router: { ...WAIT, queueSize: 2 } });
  const [worker] = answeringWorkers(fleet);
  setHealthy(fleet, worker, false);
  const held = [chat(fleet), chat(fleet)];
  await waiting(fleet, 2);
  const third = await chat(fleet);
  assert.deepEqual([third.status, (await errorOf(third)).code], [503, 'no_worker_available']);
  assert.equal(await outcomes(fleet, 'full'), 1);
  setHealthy(fleet, worker, true);
  for (const response of held) assert.equal((await response).status, 200);
});

test('those who waited together are shared out, and each is sent once', async () => {
  const workers = await Promise.all([startScriptedWorker(), startScriptedWorker()]);
  await using fleet = await startFleet({
    workers: [],
    extraWorkerUrls: workers.map(({ url }) => url),
    router: { ...WAIT, policy: 'least_work' },
  });
  const answers: (() => void)[] = [];
  for (const worker of workers)
    worker.answer = (response) =>
      answers.push(() => {
        response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
      });
  const both = answeringWorkers(fleet);
  for (const worker of both) setHealthy(fleet, worker, false);
  const responses = Array.from({ length: 60 }, (_, i) =>
    chat(fleet, { messages: [{ role: 'user', content: `question ${i} `.repeat(50) }] }),
  );
  await waiting(fleet, 60);
  for (const worker of both) setHealthy(fleet, worker, true);
  await eventually(() => answers.length === 60);
  for (const answer of answers) answer();
  for (const response of responses) assert.equal((await response).status, 200);
  for (const { received } of workers) assert.ok(received.length >= 25, `${received.length} of 60`);
  await fleet.stop();
  for (const worker of workers) await worker[Symbol.asyncDispose]();
});

test('a request with filters waits for a worker that matches them, not for any', async () => {
  await using fleet = await startFleet({ workers: [{}, {}], router: WAIT });
  const [first, second] = answeringWorkers(fleet);
  assert.ok(second);
  const { registry } = fleet.app.runtime;
  for (const fit of [second, ...registry.workers.filter((worker) => worker.traits.role === 'prefill')])
    registry.setTraits(fit, { ...fit.traits, priority: 95 });
  setHealthy(fleet, second, false);
  const response = chat(fleet, {}, { headers: { 'x-worker-priority': '90' } });
  await waiting(fleet, 1);
  setHealthy(fleet, first, false);
  setHealthy(fleet, first, true);
  await roundTrip(fleet);
  assert.equal(fleet.app.runtime.workerWait.size, 1);
  setHealthy(fleet, second, true);
  assert.equal(workerOf(await response), second.id);
});

test('a request with filters that no worker matches does not wait', async () => {
  await using fleet = await startFleet({ workers: [{}, {}], router: WAIT });
  const response = await chat(fleet, {}, { headers: { 'x-worker-priority': '90' } });
  assert.equal(response.status, 503);
  assert.match(await response.text(), /"no_worker_matches"/);
  assert.equal((await fleet.decision()).wait_ms, undefined);
});

test('a request is not sent to workers of other models when the last one of its own leaves', async () => {
  const clock = new VirtualClock();
  await using fleet = await startFleet({
    workers: [{ models: ['a'] }, { models: ['b'] }],
    router: { ...WAIT, enableIgw: true },
    clock,
  });
  const [first] = answeringWorkers(fleet);
  assert.ok(first);
  setHealthy(fleet, first, false);
  const response = chat(fleet, { model: 'a' });
  await waiting(fleet, 1);
  fleet.app.runtime.registry.remove(first);
  await chat(fleet, { model: 'b' });
  assert.equal(fleet.app.runtime.workerWait.size, 1);
  clock.advance(30_000);
  const answer = await response;
  assert.equal(answer.status, 503);
  const kind = fleet.prefills.length > 0 ? 'decode worker' : 'worker';
  assert.match((await errorOf(answer)).message, new RegExp(`no ${kind} for model "a" is registered`));
});

test('without the setting nobody waits, and a dry run never does', async () => {
  await using fleet = await startFleet({ workers: [{}] });
  setHealthy(fleet, answeringWorkers(fleet)[0], false);
  assert.equal((await chat(fleet)).status, 503);
  assert.equal((await fleet.decision()).wait_ms, undefined);
  assert.equal(await outcomes(fleet, 'timeout'), 0);
  await using patient = await startFleet({ workers: [{}], router: WAIT });
  setHealthy(patient, answeringWorkers(patient)[0], false);
  const explained = await adminOf(patient)('POST', '/admin/explain', {
    path: '/v1/chat/completions',
    body: { model: 'sim-model', messages: [] },
  });
  assert.equal(explained.body.error.code, 'no_worker_available');
  assert.equal(patient.app.runtime.workerWait.size, 0);
});
