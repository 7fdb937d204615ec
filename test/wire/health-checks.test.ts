/** Who is up, who is down, who is back: found out by asking, and at once where a request has found nobody at home. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../src/base/virtual-clock.ts';
import type { RouterOptions } from '../../src/config/load/options.ts';
import { chat, streamChat, workerOf } from '../support/chat.ts';
import { answering, answeringWorkers } from '../support/fleet-shape.ts';
import { advanceUntil, eventually, startFleet, type Fleet } from '../support/fleet.ts';
import { scrape } from '../support/metrics.ts';

const CHECKS: RouterOptions = {
  policy: 'round_robin',
  retry: { initialBackoffMs: 1 },
  healthCheck: { checkIntervalSecs: 10, timeoutSecs: 5, failureThreshold: 3, successThreshold: 2 },
};

function healthy(fleet: Fleet, index: number): boolean {
  return answeringWorkers(fleet)[index]!.health.healthy;
}

function probes(fleet: Fleet, worker: number): number {
  return fleet.workers[worker]!.seen.filter(({ url }) => url === '/health').length;
}

/** Workers that serve the next `count` chats, one after the other. */
async function serving(fleet: Fleet, count: number): Promise<(string | null)[]> {
  const urls: (string | null)[] = [];
  for (let turn = 0; turn < count; turn += 1) {
    const response = await chat(fleet);
    assert.equal(response.status, 200);
    await response.text();
    urls.push(workerOf(response));
  }
  return urls;
}

for (const fault of ['refuse', 'hang:path=/health', 'status:code=503,path=/health', 'reset:path=/health']) {
  test(`${fault}: the worker is taken out, and comes back when it is well`, async () => {
    const clock = new VirtualClock();
    await using fleet = await startFleet({ clock, router: CHECKS });
    const [a, b] = fleet.workers;
    await a!.setFaults([fault]);
    await advanceUntil(
      clock,
      500,
      eventually(() => !healthy(fleet, 0)),
    );
    assert.ok(healthy(fleet, 1));
    assert.deepEqual(await serving(fleet, 4), Array(4).fill(b!.url));
    assert.equal((await fetch(`${fleet.url}/readiness`)).status, 200);
    assert.equal((await fetch(`${fleet.url}/health`)).status, 503);
    assert.equal((await scrape(fleet)).value('vllm_router_worker_health', { worker: a!.url }), 0);
    const { candidates } = await fleet.decision();
    assert.equal(candidates?.find(({ worker }) => worker === a!.url)?.state, 'unhealthy');

    await a!.setFaults([]);
    await advanceUntil(
      clock,
      500,
      eventually(() => healthy(fleet, 0)),
    );
    assert.deepEqual(new Set(await serving(fleet, 4)), new Set([a!.url, b!.url]));
    assert.equal((await fetch(`${fleet.url}/health`)).status, 200);
    assert.equal((await scrape(fleet)).value('vllm_router_worker_health', { worker: a!.url }), 1);
  });
}

test('it takes as many failures in a row as configured, and successes to come back', async () => {
  const clock = new VirtualClock();
  await using fleet = await startFleet({ workers: [{}], clock, router: CHECKS });
  const [worker] = fleet.workers;
  const { health } = answeringWorkers(fleet)[0]!;
  await worker!.setFaults(['status:code=503,path=/health,times=2']);
  await advanceUntil(
    clock,
    500,
    eventually(() => health.failures === 2),
  );
  assert.ok(health.healthy);
  await advanceUntil(
    clock,
    500,
    eventually(() => health.failures === 0),
  );
  assert.ok(health.healthy);

  await worker!.setFaults(['status:code=503,path=/health,times=3']);
  await advanceUntil(
    clock,
    500,
    eventually(() => !health.healthy),
  );
  assert.equal(health.failures, 3);
  await advanceUntil(
    clock,
    500,
    eventually(() => health.successes === 1),
  );
  assert.ok(!health.healthy);
  await advanceUntil(
    clock,
    500,
    eventually(() => health.healthy),
  );
  assert.equal(health.successes, 2);
});

test('what runs on a worker that is taken out is finished there', async () => {
  const clock = new VirtualClock();
  await using fleet = await startFleet({ clock, router: CHECKS });
  const [a, b] = fleet.workers;
  await a!.setFaults(['status:code=503,path=/health', 'drip:bytes=500,ms=60']);
  const response = await streamChat(fleet, { max_tokens: 64 });
  await advanceUntil(
    clock,
    2_000,
    eventually(() => !healthy(fleet, 0)),
  );
  assert.deepEqual(await serving(fleet, 2), [b!.url, b!.url]);
  assert.equal(fleet.app.runtime.ledger.own(answeringWorkers(fleet)[0]!.slot), 1);
  assert.match(await response.text(), /data: \[DONE\]\n\n$/);
  assert.equal(workerOf(response), a!.url);
});

test('a refused connection has the worker checked at once', async () => {
  const clock = new VirtualClock();
  await using fleet = await startFleet({
    clock,
    router: { ...CHECKS, retry: { initialBackoffMs: 1, maxBackoffMs: 1 } },
  });
  const [a, b] = fleet.workers;
  await a!.setFaults(['refuse']);
  // Only backoffs take time: by the periodic checks alone this would take half a minute.
  const served = [];
  for (let turn = 0; turn < 8 && healthy(fleet, 0); turn += 1) {
    const { health } = answeringWorkers(fleet)[0]!;
    const failures = health.failures;
    const response = await advanceUntil(clock, 1, chat(fleet));
    served.push(workerOf(response));
    await response.text();
    if (answering(await fleet.decision()).length > 1)
      await eventually(() => health.failures === failures + 1);
  }
  assert.ok(!healthy(fleet, 0));
  assert.ok(clock.now() < 5_000, `${clock.now()} ms`);
  assert.ok(served.every((url) => url === b!.url));
});

test('a new worker is asked often, and admitted at its first good answer', async () => {
  const clock = new VirtualClock();
  await using fleet = await startFleet({
    workers: [{ faults: ['status:code=503,path=/health'] }],
    clock,
    router: CHECKS,
    waitForWorkers: false,
  });
  const [worker] = fleet.workers;
  const at: number[] = [];
  worker!.on(({ type, request }) => {
    if (type === 'request' && request.url === '/health') at.push(clock.now());
  });
  const { health } = answeringWorkers(fleet)[0]!;
  await advanceUntil(
    clock,
    10,
    eventually(() => at.length === 5),
  );
  const pauses = at.slice(1).map((time, index) => time - at[index]!);
  // 0.2 s, then always twice as long, and a little for the checks themselves.
  assert.ok(pauses[0]! >= 200 && pauses[0]! < 600, pauses.join(', '));
  for (const [index, pause] of pauses.slice(1).entries()) {
    assert.ok(Math.abs(pause / pauses[index]! - 2) < 0.3, pauses.join(', '));
  }
  assert.ok(!health.admitted);
  assert.equal((await fetch(`${fleet.url}/readiness`)).status, 503);
  assert.equal((await chat(fleet)).status, 503);

  await worker!.setFaults([]);
  await advanceUntil(
    clock,
    10,
    eventually(() => health.healthy),
  );
  assert.equal(health.successes, 1);
  assert.equal((await fetch(`${fleet.url}/readiness`)).status, 200);
  assert.equal((await chat(fleet)).status, 200);
});

test('data-parallel ranks of one server share its checks', async () => {
  const clock = new VirtualClock();
  await using fleet = await startFleet({
    workers: [{ dataParallelSize: 4 }],
    clock,
    router: { ...CHECKS, intraNodeDataParallelSize: 4 },
  });
  const ranks = [0, 1, 2, 3];
  assert.deepEqual(
    fleet.app.runtime.registry.workers.map(({ id }) => id),
    fleet.all.flatMap(({ url }) => ranks.map((rank) => `${url}@${rank}`)),
  );
  const workers = answeringWorkers(fleet);
  assert.equal(probes(fleet, 0), 1);
  assert.deepEqual(new Set(await serving(fleet, 4)), new Set(workers.map(({ id }) => id)));
  const asked = fleet.workers[0]!.seen.map(({ headers }) => headers['x-data-parallel-rank']);
  assert.deepEqual(new Set(asked.filter(Boolean)), new Set(['0', '1', '2', '3']));
  await fleet.workers[0]!.setFaults(['status:code=503,path=/health']);
  await advanceUntil(
    clock,
    500,
    eventually(() => workers.every(({ health }) => !health.healthy)),
  );
  // Three failed checks, not three per rank.
  assert.equal(workers[3]!.health.failures, 3);
  assert.ok(probes(fleet, 0) <= 5);
});

test('a worker that cannot list its models serves all the same', async () => {
  await using fleet = await startFleet({
    workers: [{ faults: ['status:code=404,path=/v1/models'] }],
    router: CHECKS,
    waitForWorkers: false,
    onlyRegular: 'of a pair the other half lists its models',
  });
  await eventually(() => healthy(fleet, 0));
  assert.equal(answeringWorkers(fleet)[0]!.models.size, 0);
  assert.deepEqual(await serving(fleet, 1), [fleet.workers[0]!.url]);
});

test('checks show the worker its own key', async () => {
  await using fleet = await startFleet({
    workers: [{ apiKeys: ['secret'] }],
    router: { ...CHECKS, apiKey: 'secret' },
  });
  const checks = fleet.workers[0]!.seen.filter(({ method }) => method === 'GET');
  assert.ok(checks.length >= 3);
  assert.ok(checks.every(({ headers }) => headers['authorization'] === 'Bearer secret'));
  assert.deepEqual([...answeringWorkers(fleet)[0]!.models], ['sim-model']);
});

test('without any healthy worker we are not ready, and say when to come back', async () => {
  const clock = new VirtualClock();
  await using fleet = await startFleet({ workers: [{}], clock, router: CHECKS });
  await fleet.workers[0]!.setFaults(['refuse']);
  await advanceUntil(
    clock,
    500,
    eventually(() => !healthy(fleet, 0)),
  );
  const readiness = await fetch(`${fleet.url}/readiness`);
  assert.equal(readiness.status, 503);
  assert.equal(((await readiness.json()) as { status: string }).status, 'not_ready');
  const response = await chat(fleet);
  assert.equal(response.status, 503);
  assert.ok(Number(response.headers.get('retry-after')) > 0);
  assert.equal(((await response.json()) as { error: { code: string } }).error.code, 'no_worker_available');
});
