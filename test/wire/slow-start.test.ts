/** A worker that has just come back is cold: it is given little at first, and its full share after a while. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../../src/base/random.ts';
import { VirtualClock } from '../../src/base/virtual-clock.ts';
import type { RouterOptions } from '../../src/config/load/options.ts';
import { chat, streamChat } from '../support/chat.ts';
import { answeringWorkers } from '../support/fleet-shape.ts';
import { advanceUntil, eventually, startFleet, type Fleet } from '../support/fleet.ts';

type PolicyName = Extract<RouterOptions['policy'], string>;

interface Recovered {
  readonly fleet: Fleet;
  readonly clock: VirtualClock;
}

/** Two workers of which the first was away and has been back for a moment. */
async function startRecovered(policy: PolicyName): Promise<Recovered> {
  const clock = new VirtualClock();
  const fleet = await startFleet({
    clock,
    random: seededRandom(5),
    router: {
      policy,
      slowStartSecs: 30,
      // No check is late and no connection, however far the clock jumps.
      connectTimeoutSecs: 1_000,
      healthCheck: { checkIntervalSecs: 10, timeoutSecs: 1_000, failureThreshold: 1, successThreshold: 1 },
    },
  });
  const [worker] = fleet.workers;
  const { health } = answeringWorkers(fleet)[0]!;
  clock.advance(30_000);
  await worker!.setFaults(['refuse']);
  await advanceUntil(
    clock,
    100,
    eventually(() => !health.healthy),
  );
  await worker!.setFaults([]);
  await advanceUntil(
    clock,
    100,
    eventually(() => health.healthy),
  );
  return { fleet, clock };
}

function chatsOf(fleet: Fleet, worker: number): number {
  return fleet.workers[worker]!.seen.filter(({ method }) => method === 'POST').length;
}

/** What the first worker gets of `count` chats, one after the other. */
async function share(fleet: Fleet, count: number): Promise<number> {
  const before = chatsOf(fleet, 0);
  for (let turn = 0; turn < count; turn += 1) await (await chat(fleet, { user: String(turn) })).text();
  return (chatsOf(fleet, 0) - before) / count;
}

for (const policy of ['round_robin', 'random'] as const) {
  test(`${policy} chooses it now and then, later as often as the other`, async () => {
    const { fleet, clock } = await startRecovered(policy);
    await using _fleet = fleet;
    const early = await share(fleet, 100);
    assert.ok(early > 0 && early < 0.25, `${early} at the start`);
    clock.advance(30_000);
    const late = await share(fleet, 40);
    assert.ok(late > 0.35 && late < 0.65, `${late} in the end`);
  });
}

for (const policy of ['power_of_two', 'cache_aware', 'least_work'] as const) {
  test(`${policy} counts its load tenfold at first`, async () => {
    const { fleet, clock } = await startRecovered(policy);
    await using _fleet = fleet;
    const [first] = answeringWorkers(fleet);
    for (const worker of fleet.workers) await worker.setFaults(['hang:after=0']);
    const controller = new AbortController();
    const responses: Promise<Response>[] = [];
    const open = async (count: number): Promise<void> => {
      for (let turn = 0; turn < count; turn += 1) {
        const content = `${responses.length} ${'words '.repeat(60)}`;
        const fields = { messages: [{ role: 'user', content }] };
        const response = streamChat(fleet, fields, { signal: controller.signal });
        response.catch(() => undefined);
        responses.push(response);
        // The clock must not jump while a connection is being made.
        await eventually(() => chatsOf(fleet, 0) + chatsOf(fleet, 1) === responses.length);
      }
    };
    await open(22);
    const early = fleet.app.runtime.ledger.own(first!.slot);
    assert.ok(early >= 1 && early <= 5, `${early} of 22 at the start`);
    clock.advance(30_000);
    await open(22);
    const late = fleet.app.runtime.ledger.own(first!.slot);
    assert.ok(late >= 18, `${late} of 44 in the end`);
    controller.abort();
    await Promise.allSettled(responses);
  });
}

test('when all are new, nobody is spared', async () => {
  const clock = new VirtualClock();
  await using fleet = await startFleet({ clock, router: { policy: 'round_robin', slowStartSecs: 30 } });
  assert.equal(await share(fleet, 20), 0.5);
});

test('hash policies keep their owner, new or not', async () => {
  const { fleet } = await startRecovered('consistent_hash');
  await using _fleet = fleet;
  const before = chatsOf(fleet, 0);
  for (let turn = 0; turn < 60; turn += 1) await (await chat(fleet, { user: `user ${turn}` })).text();
  const got = chatsOf(fleet, 0) - before;
  assert.ok(got > 18 && got < 42, `${got} of 60`);
});
