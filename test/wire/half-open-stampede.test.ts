/** When an open breaker gives its worker another chance, the crowd behind it must not trample it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../src/base/virtual-clock.ts';
import type { RouterOptions } from '../../src/config/load/options.ts';
import type { Permit } from '../../src/workers/permit.ts';
import { chat, pieces, streamChat, workerOf } from '../support/chat.ts';
import { advanceUntil, eventually, startFleet, type Fleet } from '../support/fleet.ts';

interface Recovering {
  readonly fleet: Fleet;
  readonly clock: VirtualClock;
  /** Chats that the worker under trial has received since its breaker became half-open. */
  readonly trials: () => number;
  readonly state: () => string;
}

/** Two workers, the first one's breaker has just become half-open. It still has the fault that opened it. */
async function startRecovering(
  breaker: NonNullable<RouterOptions['circuitBreaker']>,
  router: RouterOptions = {},
): Promise<Recovering> {
  const clock = new VirtualClock();
  const fleet = await startFleet({
    workers: [{ faults: ['status:code=503'] }, {}],
    clock,
    router: {
      policy: 'round_robin',
      disableRetries: true,
      circuitBreaker: { failureThreshold: 1, timeoutDurationSecs: 60, ...breaker },
      ...router,
    },
  });
  const [worker] = fleet.workers;
  await (await advanceUntil(clock, 1, chat(fleet))).text();
  const { registry } = fleet.app.runtime;
  clock.advance(60_000);
  worker!.clearSeen();
  return {
    fleet,
    clock,
    trials: () => worker!.seen.filter(({ method }) => method === 'POST').length,
    state: () => registry.get(worker!.url)!.breaker.state(clock.now()),
  };
}

interface Crowd {
  readonly responses: readonly Promise<Response>[];
  /** All those still waiting go away. */
  leave(): Promise<void>;
}

function crowd(fleet: Fleet, count: number): Crowd {
  const controller = new AbortController();
  const responses = Array.from({ length: count }, (_, index) =>
    chat(fleet, { user: String(index) }, { signal: controller.signal }),
  );
  return {
    responses,
    leave: async () => {
      controller.abort();
      await Promise.allSettled(responses);
    },
  };
}

/** Resolves when the well worker has finished that many chats. */
function finishedElsewhere(fleet: Fleet, count: number): Promise<void> {
  const { promise, resolve }: PromiseWithResolvers<void> = Promise.withResolvers();
  let finished = 0;
  const stop = fleet.workers[1]!.on(({ type, request }) => {
    if (type !== 'finished' || request.method !== 'POST' || ++finished < count) return;
    stop();
    resolve();
  });
  return promise;
}

for (const limit of [1, 3]) {
  test(`of a crowd only ${limit} may try a worker that hangs, the rest goes elsewhere`, async () => {
    const { fleet, trials, state } = await startRecovering({ halfOpenMaxRequests: limit });
    await using _fleet = fleet;
    const [hanging] = fleet.workers;
    await hanging!.setFaults(['hang']);
    const elsewhere = finishedElsewhere(fleet, 40 - limit);
    const clients = crowd(fleet, 40);
    await elsewhere;
    await eventually(() => trials() === limit);
    assert.equal(state(), 'half_open');

    // Trials whose clients leave say nothing, and make room for others.
    await clients.leave();
    await eventually(() => fleet.app.runtime.ledger.openLeases === 0);
    assert.equal(state(), 'half_open');
    const again = finishedElsewhere(fleet, 10 - limit);
    const others = crowd(fleet, 10);
    await again;
    await eventually(() => trials() === 2 * limit);
    await others.leave();
  });
}

test('a request that comes too late for the trial place it has seen goes elsewhere, and leaves nothing behind', async () => {
  const { fleet, trials, state } = await startRecovering({ halfOpenMaxRequests: 1 });
  await using _fleet = fleet;
  const { breaker } = fleet.app.runtime.registry.get(fleet.workers[0]!.url)!;
  const permit = breaker.permit.bind(breaker);
  const taken: Permit[] = [];
  breaker.permit = (now) => {
    // By another thread, since this one has looked.
    if (taken.length === 0) taken.push(permit(now));
    return permit(now);
  };
  for (let turn = 0; turn < 4; turn += 1) {
    const response = await chat(fleet);
    await response.text();
    assert.deepEqual([response.status, workerOf(response)], [200, fleet.workers[1]!.url]);
  }
  assert.deepEqual([taken.length, trials(), state()], [1, 0, 'half_open']);
  await eventually(() => fleet.app.runtime.ledger.openLeases === 0);
  taken[0]?.cancel();
  await (await chat(fleet)).text();
  await (await chat(fleet)).text();
  assert.equal(trials(), 1);
});

test('any failure opens it again: the crowd behind the trial does not follow', async () => {
  const { fleet, clock, trials, state } = await startRecovering({ halfOpenMaxRequests: 1 });
  await using _fleet = fleet;
  const statuses = await Promise.all(
    crowd(fleet, 20).responses.map(async (response) => (await response).status),
  );
  assert.equal(statuses.filter((status) => status === 503).length, 1);
  assert.equal(trials(), 1);
  assert.equal(state(), 'open');
  clock.advance(59_999);
  assert.equal(state(), 'open');
  clock.advance(1);
  assert.equal(state(), 'half_open');
});

test('a failing trial is served by another worker when retries are on', async () => {
  const router = { disableRetries: false, retry: { initialBackoffMs: 1 } };
  const { fleet, clock, trials } = await startRecovering({}, router);
  await using _fleet = fleet;
  const statuses = Promise.all(crowd(fleet, 20).responses.map(async (response) => (await response).status));
  assert.deepEqual(new Set(await advanceUntil(clock, 1, statuses)), new Set([200]));
  assert.equal(trials(), 1);
});

test('enough successes in a row close it, and not one fewer', async () => {
  const { fleet, state } = await startRecovering({ successThreshold: 3 });
  await using _fleet = fleet;
  const [worker] = fleet.workers;
  await worker!.setFaults([]);
  let successes = 0;
  while (successes < 3) {
    assert.equal(state(), 'half_open');
    const response = await chat(fleet);
    await response.text();
    assert.equal(response.status, 200);
    if (workerOf(response) === worker!.url) successes += 1;
  }
  await eventually(() => state() === 'closed');
});

test('a failure between successes opens it all the same', async () => {
  const { fleet, state } = await startRecovering({ successThreshold: 3 });
  await using _fleet = fleet;
  const [worker] = fleet.workers;
  for (const [fault, expected] of [
    [[], 'half_open'],
    [[], 'half_open'],
    [['close'], 'open'],
  ] as const) {
    await worker!.setFaults(fault);
    for (let turn = 0; turn < 2; turn += 1) await (await chat(fleet)).text();
    assert.equal(state(), expected);
  }
});

test('what the client did wrong is no verdict on a trial', async () => {
  const { fleet, trials, state } = await startRecovering({ successThreshold: 1 });
  await using _fleet = fleet;
  await fleet.workers[0]!.setFaults(['status:code=400']);
  for (let turn = 0; turn < 6; turn += 1) await (await chat(fleet)).text();
  assert.equal(trials(), 3);
  assert.equal(state(), 'half_open');
});

test('a long stream that has begun well does not hold up the next trial', async () => {
  const { fleet, trials, state } = await startRecovering({ successThreshold: 2 });
  await using _fleet = fleet;
  const [worker] = fleet.workers;
  await worker!.setFaults(['hang:after=2']);
  const controllers: AbortController[] = [];
  while (trials() < 2) {
    const controller = new AbortController();
    const response = await streamChat(fleet, {}, { signal: controller.signal });
    await pieces(response).next();
    controllers.push(controller);
    if (controllers.length > 4) break;
  }
  assert.equal(trials(), 2);
  assert.equal(state(), 'closed');
  for (const controller of controllers) controller.abort();
});
