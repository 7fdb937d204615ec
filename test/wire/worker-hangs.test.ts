/** A worker that says nothing: each phase has its own patience, and over all of them there is one deadline. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { test } from 'node:test';
import { VirtualClock } from '../../src/base/virtual-clock.ts';
import type { RouterOptions } from '../../src/config/load/options.ts';
import { chat, pieces, readBody, streamChat, workerOf } from '../support/chat.ts';
import { answering, LEGS } from '../support/fleet-shape.ts';
import { advanceUntil, eventually, roundTrip, startFleet, type Fleet } from '../support/fleet.ts';
import { scrape } from '../support/metrics.ts';

const ROUND_ROBIN: RouterOptions = { policy: 'round_robin', retry: { initialBackoffMs: 1 } };

async function hangingFirst(
  fault: string,
  router: RouterOptions,
): Promise<{ fleet: Fleet; clock: VirtualClock }> {
  const clock = new VirtualClock();
  const fleet = await startFleet({ clock, router: { ...ROUND_ROBIN, ...router } });
  await fleet.workers[0]!.setFaults([fault]);
  return { fleet, clock };
}

/** TCP connects, TLS never answers: no connection as far as requests are concerned. */
async function startMute(): Promise<AsyncDisposable & { url: string; sockets: Socket[] }> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    sockets.push(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    url: `https://127.0.0.1:${port}`,
    sockets,
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close');
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

for (const fault of ['hang', 'hang:after=0']) {
  test(`${fault}: after the first-token timeout another worker is asked`, async () => {
    const { fleet, clock } = await hangingFirst(fault, { firstTokenTimeoutSecs: 20 });
    await using _fleet = fleet;
    const [a, b] = fleet.workers;
    const arrived = a!.next('request');
    const response = streamChat(fleet);
    await arrived;
    const aborted = a!.next('aborted');
    clock.advance(19_999);
    await roundTrip(fleet);
    assert.equal(fleet.app.runtime.ledger.openLeases, LEGS);
    clock.advance(1);
    await aborted;
    const answer = await advanceUntil(clock, 1, response);
    assert.equal(workerOf(answer), b!.url);
    assert.match((await readBody(answer)).text, /data: \[DONE\]\n\n$/);
    assert.deepEqual(
      answering(await fleet.decision()).map(({ error }) => error),
      ['first_token_timeout', undefined],
    );
    assert.equal((await scrape(fleet)).sum('vllm_router_cb_outcomes_total', { outcome: 'failure' }), 1);
  });
}

test('with nobody else, the client hears of the timeout', async () => {
  const clock = new VirtualClock();
  await using fleet = await startFleet({
    workers: [{ faults: ['hang'] }],
    clock,
    router: { firstTokenTimeoutSecs: 20, disableRetries: true },
  });
  const arrived = fleet.workers[0]!.next('request');
  const response = chat(fleet);
  await arrived;
  clock.advance(20_000);
  assert.equal((await response).status, 504);
  const { error } = (await (await response).json()) as { error: { code: string } };
  assert.equal(error.code, 'first_token_timeout');
});

test('by default a long prefill has all the time of the request, and its end is nobody’s failure', async () => {
  const { fleet, clock } = await hangingFirst('hang:after=0', {});
  await using _fleet = fleet;
  const arrived = fleet.workers[0]!.next('request');
  const response = streamChat(fleet);
  await arrived;
  clock.advance(1_799_000);
  await roundTrip(fleet);
  assert.equal(fleet.app.runtime.ledger.openLeases, LEGS);
  clock.advance(1_000);
  assert.equal((await response).status, 504);
  const { error } = (await (await response).json()) as { error: { code: string } };
  assert.equal(error.code, 'deadline_exceeded');
  const decision = await fleet.decision();
  assert.equal(answering(decision).length, 1);
  assert.equal(decision.outcome, 'router_error');
  assert.equal((await scrape(fleet)).sum('vllm_router_cb_outcomes_total', { outcome: 'failure' }), 0);
});

test('mid-stream silence ends after the idle timeout, with an error event', async () => {
  const { fleet, clock } = await hangingFirst('hang:after=2', { streamIdleTimeoutSecs: 30 });
  await using _fleet = fleet;
  const response = await streamChat(fleet);
  const body = pieces(response);
  let text = '';
  while (text.split('\n\n').length < 3) {
    const next = await body.next();
    assert.ok(!next.done);
    text += next.value;
  }
  const aborted = fleet.workers[0]!.next('aborted');
  clock.advance(29_999);
  await roundTrip(fleet);
  assert.equal(fleet.app.runtime.ledger.openLeases, 1);
  clock.advance(1);
  await aborted;
  for await (const piece of body) text += piece;
  assert.match(text, /"code":"stream_idle_timeout"/);
  assert.doesNotMatch(text, /\[DONE\]/);
  const decision = await fleet.decision();
  assert.equal(decision.outcome, 'worker_broken');
  assert.equal(answering(decision).length, 1);
  assert.equal((await scrape(fleet)).sum('vllm_router_cb_outcomes_total', { outcome: 'failure' }), 1);
});

test('a slow stream is not a silent one', async () => {
  const { fleet, clock } = await hangingFirst('drip:bytes=200,ms=2', { streamIdleTimeoutSecs: 30 });
  await using _fleet = fleet;
  const response = await streamChat(fleet, { max_tokens: 16 });
  let text = '';
  for await (const piece of pieces(response)) {
    text += piece;
    clock.advance(20_000);
  }
  assert.match(text, /data: \[DONE\]\n\n$/);
});

test('the deadline also ends a stream under way', async () => {
  const { fleet, clock } = await hangingFirst('hang:after=2', { requestTimeoutSecs: 60 });
  await using _fleet = fleet;
  const response = await streamChat(fleet);
  const { ledger } = fleet.app.runtime;
  await eventually(() => fleet.workers[0]!.model.stats.generationTokens > 0);
  const aborted = fleet.workers[0]!.next('aborted');
  clock.advance(60_000);
  await aborted;
  const { text } = await readBody(response);
  assert.match(text, /"code":"deadline_exceeded"/);
  await eventually(() => ledger.openLeases === 0);
  const { outcome, error } = await fleet.decision();
  assert.deepEqual({ outcome, error }, { outcome: 'router_error', error: 'deadline_exceeded' });
});

test('the deadline counts the queue and all attempts together', async () => {
  const clock = new VirtualClock();
  await using fleet = await startFleet({
    workers: [{ faults: ['hang'] }],
    clock,
    router: { ...ROUND_ROBIN, maxConcurrentRequests: 1, requestTimeoutSecs: 50, firstTokenTimeoutSecs: 30 },
  });
  const arrived = fleet.workers[0]!.next('request');
  const first = chat(fleet);
  await arrived;
  clock.advance(10_000);
  const second = chat(fleet);
  await eventually(() => fleet.app.runtime.admission.queued === 1);
  // The first one's timeout, and its second attempt; then its deadline, which gives the second one its turn.
  clock.advance(20_000);
  await advanceUntil(clock, 1, fleet.workers[0]!.next('request'));
  const turn = fleet.workers[0]!.next('request');
  clock.advance(20_000);
  assert.equal((await first).status, 504);
  await (await first).text();
  assert.deepEqual(
    answering(await fleet.decision()).map(({ error }) => error),
    ['first_token_timeout', 'deadline_exceeded'],
  );
  await turn;
  assert.equal(fleet.app.runtime.ledger.openLeases, LEGS);
  // 40 s of its 50 were spent in the queue.
  clock.advance(10_000);
  assert.equal((await second).status, 504);
  await (await second).text();
  const decision = await fleet.decision();
  assert.ok(decision.queue_ms >= 39_000 && decision.queue_ms <= 41_000, String(decision.queue_ms));
  assert.deepEqual(
    answering(decision).map(({ error }) => error),
    ['deadline_exceeded'],
  );
});

test('a connection that is never made ends after the connect timeout, and another worker is asked', async () => {
  await using mute = await startMute();
  const clock = new VirtualClock();
  await using fleet = await startFleet({
    workers: [{}],
    extraWorkerUrls: [mute.url],
    onlyRegular: 'the one that cannot be reached is no worker of a pair',
    clock,
    router: { ...ROUND_ROBIN, connectTimeoutSecs: 10, circuitBreaker: { failureThreshold: 1 } },
    waitForWorkers: false,
  });
  const { registry } = fleet.app.runtime;
  const [sim, dead] = registry.workers;
  await eventually(() => sim!.health.healthy);
  registry.setModels(dead!, new Set(['sim-model']), []);
  registry.reportCheck(dead!, true);
  await (await chat(fleet)).text();

  const before = mute.sockets.length;
  const response = chat(fleet);
  await eventually(() => mute.sockets.length > before);
  clock.advance(10_000);
  const answer = await advanceUntil(clock, 1, response);
  assert.equal(workerOf(answer), sim!.id);
  await answer.text();
  const { attempts } = await fleet.decision();
  assert.deepEqual(
    attempts.map(({ worker, error }) => [worker, error]),
    [
      [dead!.id, 'connect_timeout'],
      [sim!.id, undefined],
    ],
  );
  assert.equal(dead!.breaker.state(clock.now()), 'open');
});

test('with round_robin, requests try first now this worker and now that, whichever of them hangs', async () => {
  const { fleet, clock } = await hangingFirst('hang', { firstTokenTimeoutSecs: 20 });
  await using _fleet = fleet;
  const [hanging] = fleet.workers;
  const firstTried: unknown[] = [];
  for (let request = 0; request < 4; request += 1) {
    const answer = await advanceUntil(clock, 500, chat(fleet));
    assert.equal(answer.status, 200);
    await answer.text();
    firstTried.push(answering(await fleet.decision())[0]?.worker === hanging!.url);
  }
  assert.deepEqual(firstTried, [true, false, true, false]);
});
