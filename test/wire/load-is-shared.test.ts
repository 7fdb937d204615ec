/** How requests spread over workers, for real: by turn, by chance, by load, by speed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../../src/base/random.ts';
import { chat, streamChat } from '../support/chat.ts';
import { answeringWorkers, LEGS } from '../support/fleet-shape.ts';
import { eventually, startFleet, type Fleet } from '../support/fleet.ts';

function counts(fleet: Fleet): number[] {
  return fleet.workers.map(({ seen }) => seen.filter(({ method }) => method === 'POST').length);
}

/** A prompt like no other, about 100 tokens long. */
function prompt(id: number): object {
  return {
    messages: [{ role: 'user', content: `${id} is the number. ${'More words follow. '.repeat(20)}` }],
  };
}

/** `clients` clients that send one chat after the other, `count` in all. */
async function load(fleet: Fleet, clients: number, count: number, fields: object = {}): Promise<void> {
  let next = 0;
  const client = async (): Promise<void> => {
    while (next < count) {
      const response = await streamChat(fleet, { ...prompt(next++), ...fields });
      assert.equal(response.status, 200);
      await response.text();
    }
  };
  await Promise.all(Array.from({ length: clients }, client));
}

const PLAIN = [{}, {}, {}, {}].map(() => ({ keepRequests: 500 }));

test('round_robin gives everybody the same number', async () => {
  await using fleet = await startFleet({ workers: PLAIN, router: { policy: 'round_robin' } });
  await load(fleet, 8, 80);
  assert.deepEqual(counts(fleet), [20, 20, 20, 20]);
});

test('random gives everybody about the same', async () => {
  await using fleet = await startFleet({
    workers: PLAIN,
    router: { policy: 'random' },
    random: seededRandom(3),
  });
  await load(fleet, 8, 200);
  for (const count of counts(fleet)) assert.ok(count > 25 && count < 80, String(counts(fleet)));
});

for (const policy of ['power_of_two', 'cache_aware', 'least_work'] as const) {
  test(`${policy} keeps open requests balanced`, async () => {
    await using fleet = await startFleet({
      workers: PLAIN.map((options) => ({ ...options, faults: ['hang:after=0'] })),
      router: { policy },
    });
    const { ledger } = fleet.app.runtime;
    const controller = new AbortController();
    const responses: Promise<unknown>[] = [];
    for (let turn = 1; turn <= 40; turn += 1) {
      responses.push(streamChat(fleet, prompt(turn), { signal: controller.signal }).catch(() => undefined));
      await eventually(() => ledger.openLeases === LEGS * turn);
    }
    const open = answeringWorkers(fleet).map(({ slot }) => ledger.own(slot));
    // Two choices leave a little imbalance, seeing everybody leaves none.
    const spread = Math.max(...open) - Math.min(...open);
    assert.ok(spread <= (policy === 'power_of_two' ? 5 : 1), open.join(', '));
    controller.abort();
    await Promise.all(responses);
  });
}

for (const policy of ['power_of_two', 'cache_aware', 'least_work'] as const) {
  test(`${policy} gives a slow worker less`, async () => {
    await using fleet = await startFleet({
      // Ten times as slow as the other.
      workers: [
        { timeScale: 0.5, keepRequests: 500 },
        { timeScale: 0.05, keepRequests: 500 },
      ],
      router: { policy },
    });
    await load(fleet, 8, 120, { max_tokens: 16 });
    const [slow = 0, fast = 0] = counts(fleet);
    assert.ok(slow > 0, 'it gets nothing');
    assert.ok(slow < 0.7 * fast, `${slow} against ${fast}`);
  });
}

test('round_robin does not care: a slow worker gets as much', async () => {
  await using fleet = await startFleet({
    workers: [{ timeScale: 0.5 }, { timeScale: 0.05 }],
    router: { policy: 'round_robin' },
  });
  await load(fleet, 8, 40, { max_tokens: 16 });
  assert.deepEqual(counts(fleet), [20, 20]);
});

test('a long prompt in prefill weighs more than many short ones: least_work goes around it', async () => {
  await using fleet = await startFleet({
    workers: [{ faults: ['hang:after=0,times=1'] }, { faults: ['hang:after=0,times=1'] }],
    router: { policy: 'least_work' },
    onlyRegular: 'of a pair the worker that answers computes no prompts',
  });
  const { ledger } = fleet.app.runtime;
  const controller = new AbortController();
  const book = { messages: [{ role: 'user', content: 'a long story '.repeat(8_000) }] };
  // Not before the book has been read there: the fault is to meet it.
  const arrived = Promise.race(
    fleet.workers.map((worker) => worker.next('request', ({ method }) => method === 'POST')),
  );
  const reading = streamChat(fleet, book, { signal: controller.signal }).catch(() => undefined);
  await Promise.all([arrived, eventually(() => ledger.openLeases === 1)]);
  const busy = ledger.own(0) === 1 ? 0 : 1;
  for (const worker of fleet.workers) await worker.setFaults([]);
  for (let turn = 0; turn < 10; turn += 1) {
    const response = await chat(fleet, prompt(turn));
    assert.equal(response.headers.get('x-vllm-router-worker'), fleet.workers[1 - busy]!.url);
    await response.text();
  }
  const { candidates, margin } = await fleet.decision();
  assert.ok(
    (candidates?.find(({ worker }) => worker === fleet.workers[busy]!.url)?.prefill_tokens ?? 0) > 10_000,
  );
  assert.ok((margin ?? 0) > 0);
  controller.abort();
  await reading;
});
