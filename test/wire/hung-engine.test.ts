/**
 * An engine that hangs while the server beside it says that all is well: known by its silence, proved by a probe, left
 * alone until it answers again. What is only slow stays in service.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../src/base/virtual-clock.ts';
import type { RouterOptions } from '../../src/config/load/options.ts';
import type { SimWorker } from '../../src/sim/server/server.ts';
import type { Worker } from '../../src/workers/worker.ts';
import { adminOf, type Parsed } from '../support/admin.ts';
import { chat, post, readBody, streamChat, workerOf } from '../support/chat.ts';
import { answeringWorkers } from '../support/fleet-shape.ts';
import {
  advanceUntil,
  eventually,
  roundTrip,
  startFleet,
  type Fleet,
  type FleetOptions,
} from '../support/fleet.ts';
import { scrape } from '../support/metrics.ts';

const HUNG = ['hung_engine'];
const ROUTER: RouterOptions = { policy: 'round_robin', healthCheck: { checkIntervalSecs: 2_000_000 } };

interface Bench extends AsyncDisposable {
  readonly fleet: Fleet;
  readonly clock: VirtualClock;
  readonly sims: readonly SimWorker[];
  readonly workers: readonly Worker[];
}

/** Every worker has answered a stream: what is usual of it is known. */
async function start(workers: number, options: FleetOptions = {}): Promise<Bench> {
  const clock = new VirtualClock();
  const fleet = await startFleet({
    ...{ workers: Array.from({ length: workers }, () => ({})), clock, ...options },
    router: { ...ROUTER, ...options.router },
  });
  for (let i = 0; i < workers; i += 1) await (await streamChat(fleet)).text();
  clock.advance(1_000);
  return {
    ...{ fleet, clock, sims: fleet.workers, workers: answeringWorkers(fleet) },
    [Symbol.asyncDispose]: () => fleet[Symbol.asyncDispose](),
  };
}

/** Lets time go by in seconds, as the router and its probes need it, until the worker stands so. */
async function until(
  bench: Bench,
  worker: Worker | undefined,
  state: Worker['progress']['state'],
): Promise<void> {
  await advanceUntil(
    bench.clock,
    50,
    eventually(() => worker?.progress.state === state),
  );
}

/** A stream that this worker gets and does not answer. It is the worker's turn. */
async function hangAt(
  { fleet }: Bench,
  sim: SimWorker | undefined,
  init?: RequestInit,
): Promise<{ readonly answer: Promise<Response> }> {
  const arrived = sim!.next('request', ({ url }) => url === '/v1/chat/completions');
  const answer = streamChat(fleet, {}, init);
  await arrived;
  return { answer };
}

test('requests go elsewhere while a worker is silent, it is out after the probe, and back when it answers one', async () => {
  await using bench = await start(2);
  const { fleet, sims, workers } = bench;
  const [hung, sound] = sims;
  const admin = adminOf(fleet);
  await hung!.setFaults(HUNG);
  const hanging = await hangAt(bench, hung);
  assert.equal((await fetch(`${hung!.url}/health`)).status, 200);
  await until(bench, workers[0], 'suspect');

  hung!.clearSeen();
  for (let i = 0; i < 4; i += 1) {
    const answer = await chat(fleet);
    assert.equal(workerOf(answer), sound!.url);
    await answer.text();
  }
  const { candidates } = await fleet.decision();
  assert.equal(candidates?.find(({ worker }) => worker === hung!.url)?.state, 'suspect');
  const view = (await admin('GET', `/workers/${encodeURIComponent(hung!.url)}`)).body;
  assert.equal(view.progress.state, 'suspect');
  assert.ok(view.progress.silent_secs >= 15, String(view.progress.silent_secs));
  assert.equal(view.is_healthy, true);
  assert.equal((await fetch(`${fleet.url}/health`)).status, 200);
  let metrics = await scrape(fleet);
  assert.equal(metrics.value('vllm_router_worker_progress', { worker: hung!.url }), 1);

  await until(bench, workers[0], 'stalled');
  metrics = await scrape(fleet);
  assert.equal(metrics.value('vllm_router_worker_progress', { worker: hung!.url }), 2);
  assert.equal(metrics.value('vllm_router_stall_probes_total', { worker: hung!.url, outcome: 'silent' }), 1);
  assert.equal((await fetch(`${fleet.url}/health`)).status, 503);
  const { healthy_workers: healthy } = (await (await fetch(`${fleet.url}/readiness`)).json()) as Parsed;
  assert.equal(healthy, 1 + fleet.prefills.length);
  assert.equal((await admin('GET', '/admin/stats')).body.workers.stalled, 1);
  for (let i = 0; i < 4; i += 1) assert.equal(workerOf(await readWhole(chat(fleet))), sound!.url);
  const posted = hung!.seen.filter(({ method }) => method === 'POST');
  assert.ok(
    posted.every(({ body }) => body.includes('"max_tokens":1}')),
    'only probes were sent there',
  );

  await hung!.setFaults([]);
  // What it had is answered, and was never cut.
  assert.match(
    (await readBody(await advanceUntil(bench.clock, 50, hanging.answer))).text,
    /data: \[DONE\]\n\n$/,
  );
  await until(bench, workers[0], 'moving');
  const served = new Set<string | null>();
  for (let i = 0; i < 4; i += 1) served.add(workerOf(await readWhole(chat(fleet))));
  assert.deepEqual(served, new Set(sims.map(({ url }) => url)));
});

test('clients that give up do not make a hung worker look idle', async () => {
  await using bench = await start(2);
  const { fleet, clock, sims, workers } = bench;
  const [hung] = sims;
  await hung!.setFaults(HUNG);
  for (let i = 0; workers[0]!.progress.state === 'moving'; i += 1) {
    assert.ok(i < 20, 'nobody noticed');
    const controller = new AbortController();
    const { answer } = await hangAt(bench, hung, { signal: controller.signal });
    const gone = hung!.next('aborted');
    clock.advance(4_000);
    controller.abort();
    await assert.rejects(answer);
    await gone;
    assert.equal(workerOf(await readWhole(chat(fleet))), sims[1]!.url);
    await eventually(() => fleet.app.runtime.ledger.openLeases === 0);
    clock.advance(500);
  }
  assert.equal(workers[1]!.progress.state, 'moving');
  await until(bench, workers[0], 'stalled');
});

test('neither what the server refuses by itself nor the preamble of a response passes for progress', async () => {
  await using bench = await start(1, {
    onlyRegular: 'through a pair the preamble waits for what comes behind it',
  });
  const { fleet, clock, sims, workers } = bench;
  await sims[0]!.setFaults(HUNG);
  const hanging = await hangAt(bench, sims[0]);
  const streams: Promise<Response>[] = [];
  for (let i = 0; workers[0]!.progress.state === 'moving'; i += 1) {
    assert.ok(i < 12, 'nobody noticed');
    assert.equal((await chat(fleet, { model: 'nobody' })).status, 404);
    streams.push(post(fleet, '/v1/responses', { model: 'sim-model', input: 'Hello', stream: true }));
    assert.match((await (await streams.at(-1))!.body!.getReader().read()).value!.toString(), /\d/);
    assert.equal((await post(fleet, '/tokenize', { model: 'sim-model', prompt: 'Hello' })).status, 200);
    clock.advance(3_000);
  }
  await sims[0]!.setFaults([]);
  await readWhole(hanging.answer);
});

test('a long answer in one piece is no reason while the engine counts tokens', async () => {
  await using bench = await start(1, {
    workers: [{ timeScale: 0.2 }],
    router: { loadCheckIntervalSecs: 5 },
  });
  const { fleet, clock, sims, workers } = bench;
  const controller = new AbortController();
  const fields = { max_tokens: 30_000, min_tokens: 30_000 };
  const answer = chat(fleet, fields, { signal: controller.signal }).catch(() => undefined);
  await eventually(() => sims[0]!.model.running === 1);
  for (let poll = 0; poll < 12; poll += 1) {
    const { generationTokens } = sims[0]!.model.stats;
    await eventually(() => sims[0]!.model.stats.generationTokens > generationTokens);
    const read = sims[0]!.next('finished', ({ url }) => url === '/metrics');
    await advanceUntil(clock, 100, read);
    await roundTrip(fleet);
  }
  assert.equal(workers[0]!.progress.state, 'moving');
  assert.equal((await scrape(fleet)).sum('vllm_router_worker_progress_transitions_total'), 0);

  // The same, when it hangs, is one.
  await sims[0]!.setFaults(HUNG);
  await until(bench, workers[0], 'suspect');
  controller.abort();
  await answer;
});

test('where all are suspect, or have stalled, nobody is', async () => {
  await using bench = await start(2);
  const { fleet, sims, workers } = bench;
  for (const sim of sims) await sim.setFaults(HUNG);
  const hanging = [streamChat(fleet), streamChat(fleet)];
  for (const state of ['suspect', 'stalled'] as const) {
    for (const worker of workers) await until(bench, worker, state);
    const arrived = Promise.any(
      sims.map((sim) => sim.next('request', ({ body }) => body.includes(`from ${state}`))),
    );
    hanging.push(chat(fleet, { messages: [{ role: 'user', content: `from ${state}` }] }));
    await arrived;
  }
  for (const sim of sims) await sim.setFaults([]);
  for (const answer of hanging) assert.equal((await readWhole(answer)).status, 200);
});

for (const [route, body, probe] of [
  ['/v1/chat/completions', { messages: [{ role: 'user', content: 'Hello' }] }, { max_tokens: 1 }],
  ['/v1/completions', { prompt: 'Hello' }, { max_tokens: 1 }],
  ['/v1/messages', { messages: [{ role: 'user', content: 'Hello' }], max_tokens: 8 }, { max_tokens: 1 }],
  ['/v1/responses', { input: 'Hello' }, { max_output_tokens: 1, store: false }],
  ['/v1/embeddings', { input: 'Hello there' }, { input: 'a' }],
  ['/v1/score', { text_1: 'Hello', text_2: 'there' }, undefined],
] as const)
  test(`a worker that is silent on ${route} is probed with the least of it`, async () => {
    await using bench = await start(1);
    const { fleet, sims, workers } = bench;
    const [sim] = sims;
    // Its longest answer in one piece is known.
    await (await chat(fleet)).text();
    await sim!.setFaults(HUNG);
    sim!.clearSeen();
    const hanging = post(fleet, route, { model: 'sim-model', ...body });
    const isProbe = ({ url }: { url: string }): boolean => url === (probe ? route : '/health');
    await sim!.next('request', ({ url }) => url === route);
    const probed = sim!.next('request', isProbe);
    await until(bench, workers[0], 'suspect');
    const { request } = await probed;
    if (probe) {
      const { model, ...sent } = JSON.parse(request.body.toString());
      assert.equal(model, 'sim-model');
      const fields: Record<string, unknown> = probe;
      for (const [name, value] of Object.entries(fields)) assert.deepEqual(sent[name], value);
    }
    await sim!.setFaults([]);
    assert.equal((await readWhole(hanging)).status, 200);
    await until(bench, workers[0], 'moving');
  });

test('a sleeping or paused engine is no candidate until it goes on', async () => {
  const clock = new VirtualClock();
  await using fleet = await startFleet({
    clock,
    router: { ...ROUTER, healthCheck: { checkIntervalSecs: 30 } },
  });
  const [lazy, awake] = fleet.workers;
  const worker = answeringWorkers(fleet)[0]!;
  const becomes = (engine: Worker['engine']): Promise<void> =>
    advanceUntil(
      clock,
      100,
      eventually(() => worker.engine === engine),
    );
  for (const [engine, begin, end] of [
    ['sleeping', '/sleep?level=1', '/wake_up'],
    ['paused', '/pause', '/resume'],
  ] as const) {
    await fetch(lazy!.url + begin, { method: 'POST' });
    await becomes(engine);
    for (let i = 0; i < 3; i += 1) assert.equal(workerOf(await readWhole(chat(fleet))), awake!.url);
    const { candidates } = await fleet.decision();
    assert.equal(candidates?.find(({ worker: id }) => id === lazy!.url)?.state, engine);
    const view = (await adminOf(fleet)('GET', `/workers/${encodeURIComponent(lazy!.url)}`)).body;
    assert.equal(view.engine, engine);
    assert.equal((await scrape(fleet)).value('vllm_router_worker_asleep', { worker: lazy!.url }), 1);
    await fetch(lazy!.url + end, { method: 'POST' });
    await becomes('running');
    const served = new Set<string | null>();
    for (let i = 0; i < 2; i += 1) served.add(workerOf(await readWhole(chat(fleet))));
    assert.equal(served.size, 2);
  }
  assert.equal((await scrape(fleet)).value('vllm_router_worker_asleep', { worker: lazy!.url }), 0);
});

test('when the only engine sleeps, the client hears that', async () => {
  await using fleet = await startFleet({ workers: [{}], router: ROUTER });
  const [sim] = fleet.workers;
  await fetch(`${sim!.url}/sleep?level=1`, { method: 'POST' });
  const [worker] = answeringWorkers(fleet);
  fleet.app.runtime.registry.reportUnreachable(worker!);
  await eventually(() => worker!.engine === 'sleeping');
  const answer = await chat(fleet);
  assert.equal(answer.status, 503);
  const kind = fleet.prefills.length > 0 ? 'decode workers' : 'workers';
  assert.match(await answer.text(), new RegExp(`none of the 1 ${kind} .*\\(1 sleeping\\)`));
  assert.equal((await fetch(`${fleet.url}/readiness`)).status, 503);
});

test('a server without these routes is not asked for them again', async () => {
  const clock = new VirtualClock();
  await using fleet = await startFleet({
    ...{ workers: [{ devMode: false }], clock },
    router: { healthCheck: { checkIntervalSecs: 10 } },
  });
  const [sim] = fleet.workers;
  for (let check = 0; check < 3; check += 1)
    await advanceUntil(
      clock,
      100,
      sim!.next('finished', ({ url }) => url === '/version'),
    );
  const asked = (path: string): number => sim!.seen.filter(({ url }) => url === path).length;
  assert.ok(asked('/health') >= 3);
  assert.deepEqual([asked('/is_sleeping'), asked('/is_paused')], [1, 1]);
});

async function readWhole(answer: Promise<Response>): Promise<Response> {
  const response = await answer;
  await response.text();
  return response;
}
