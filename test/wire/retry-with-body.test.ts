/** A failed attempt is made again elsewhere, with the same bytes, and only where that cannot do a thing twice. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RouterOptions } from '../../src/config/load/options.ts';
import { chat, CHAT, post, readBody, streamChat, workerOf } from '../support/chat.ts';
import { answering, assertSent } from '../support/fleet-shape.ts';
import { startFleet, type Fleet } from '../support/fleet.ts';
import { scrape } from '../support/metrics.ts';

/** Valid JSON that no parser and printer would give back: spaces, a big integer, an unknown field, an escape. */
const BODY =
  '{ "model" : "sim-model", "seed": 12345678901234567890, "messages": [{"role":"user","content":"\\u0068i é"}],  "x_unknown":[1.0], "max_tokens":2 }\n';

const ROUND_ROBIN: RouterOptions = { policy: 'round_robin', retry: { initialBackoffMs: 1 } };

/** Worker A has the fault, worker B is well; the first request goes to A. */
async function faultyFirst(fault: string): Promise<Fleet> {
  const fleet = await startFleet({ router: ROUND_ROBIN });
  await fleet.workers[0]!.setFaults([fault]);
  return fleet;
}

function sent(fleet: Fleet, worker: number): readonly Buffer[] {
  return fleet.workers[worker]!.seen.filter(({ method }) => method === 'POST').map(({ body }) => body);
}

const RETRIED: Readonly<Record<string, { status?: number; error?: string }>> = {
  'status:code=408': { status: 408 },
  'status:code=429': { status: 429 },
  'status:code=500': { status: 500 },
  'status:code=502': { status: 502 },
  'status:code=503': { status: 503 },
  'status:code=504': { status: 504 },
  reset: { error: 'worker_closed' },
  close: { error: 'worker_closed' },
  garbage: { error: 'worker_bad_response' },
  refuse: { error: 'connect_failed' },
};

for (const [fault, failed] of Object.entries(RETRIED)) {
  test(`${fault}: the other worker gets the identical body`, async () => {
    await using fleet = await faultyFirst(fault);
    const [a, b] = fleet.workers;
    const response = await fetch(`${fleet.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-request-id': 'the-same-id' },
      body: BODY,
    });
    assert.equal(response.status, 200);
    assert.equal(workerOf(response), b!.url);
    await response.json();
    // A connection that has died is not the worker's answer yet: A may have been asked on a fresh one, too.
    assert.equal(sent(fleet, 0).length > 0, fault !== 'refuse');
    assert.equal(sent(fleet, 1).length, 1);
    for (const body of [...sent(fleet, 0), ...sent(fleet, 1)]) assertSent(body, BODY);
    const ids = fleet.workers.flatMap(({ seen }) => seen.filter(({ method }) => method === 'POST'));
    assert.ok(ids.every(({ headers }) => headers['x-request-id'] === 'the-same-id'));

    const decision = await fleet.decision();
    assert.equal(decision.outcome, 'ok');
    assert.equal(decision.worker, b!.url);
    assert.deepEqual(
      answering(decision).map(({ worker: id, status, error }) => ({ id, status, error })),
      [
        { id: a!.url, status: failed.status, error: failed.error },
        { id: b!.url, status: 200, error: undefined },
      ],
    );
    const metrics = await scrape(fleet);
    assert.equal(metrics.value('vllm_router_retries_total', { route: '/v1/chat/completions' }), 1);
  });
}

for (const code of [400, 401, 404, 422, 501]) {
  test(`${code} is the answer: passed on as it is, tried once`, async () => {
    await using fleet = await faultyFirst(`status:code=${code}`);
    const response = await chat(fleet);
    assert.equal(response.status, code);
    const { error } = (await response.json()) as { error: { message: string } };
    assert.equal(error.message, `simulated ${code}`);
    assert.equal(sent(fleet, 1).length, 0);
    assert.equal((await scrape(fleet)).sum('vllm_router_retries_total'), 0);
  });
}

test('nothing is tried again once a byte has reached the client', async () => {
  await using fleet = await faultyFirst('reset:after=1');
  const body = await readBody(await streamChat(fleet));
  assert.match(body.text, /worker_closed/);
  assert.equal(sent(fleet, 1).length, 0);
});

test('routes that are not known for harmless are only tried again while the worker cannot have seen them', async () => {
  for (const fault of ['status:code=503,path=*', 'reset:path=*']) {
    await using fleet = await faultyFirst(fault);
    const response = await post(fleet, '/custom/action', { turn: 'on' });
    assert.equal(response.status, fault === 'reset:path=*' ? 502 : 503);
    await response.text();
    assert.equal(sent(fleet, 0).length, 1);
    assert.equal(sent(fleet, 1).length, 0);
  }
  await using fleet = await faultyFirst('refuse');
  const response = await post(fleet, '/custom/action', { turn: 'on' });
  assert.equal(response.status, 404);
  await response.text();
  assert.deepEqual(sent(fleet, 1).map(String), ['{"turn":"on"}']);
});

test('reading changes nothing, so any GET is tried again', async () => {
  await using fleet = await faultyFirst('status:code=503,path=/custom');
  const response = await fetch(`${fleet.url}/custom/state?x=1`);
  assert.equal(workerOf(response), fleet.workers[1]!.url);
  assert.equal(response.status, 404);
  await response.text();
  assert.equal(fleet.workers[1]!.seen.at(-1)!.url, '/custom/state?x=1');
});

for (const flag of ['store', 'background']) {
  test(`a response with ${flag} is not made twice`, async () => {
    const body = { model: 'sim-model', input: 'hello', max_output_tokens: 2, [flag]: true };
    for (const fault of ['status:code=503', 'close']) {
      await using fleet = await faultyFirst(fault);
      const response = await post(fleet, '/v1/responses', body);
      assert.equal(response.status, fault === 'close' ? 502 : 503);
      await response.text();
      assert.equal(sent(fleet, 1).length, 0);
    }
    await using fleet = await faultyFirst('refuse');
    const response = await post(fleet, '/v1/responses', body);
    assert.equal(response.status, 200);
    await response.text();
    assert.equal(sent(fleet, 1).length, 1);
  });
}

test('an upload of which nothing has been read yet can go to another worker', async () => {
  await using fleet = await faultyFirst('refuse');
  const upload = Buffer.alloc(3 * 1024 * 1024, 'a');
  const response = await fetch(`${fleet.url}/custom/upload`, { method: 'POST', body: upload });
  await response.text();
  assert.equal(response.status, 404);
  assert.ok(sent(fleet, 1)[0]?.equals(upload));
});

test('workers that have failed the request are left out while there are others', async () => {
  await using fleet = await startFleet({
    workers: [{ faults: ['status:code=503'] }, { faults: ['close'] }, {}],
    router: { retry: { initialBackoffMs: 1 } },
  });
  for (let turn = 0; turn < 4; turn += 1) {
    const response = await chat(fleet, { user: String(turn) });
    assert.equal(response.status, 200);
    assert.equal(workerOf(response), fleet.workers[2]!.url);
    await response.json();
    const decision = await fleet.decision();
    const attempts = answering(decision);
    assert.equal(new Set(attempts.map(({ worker }) => worker)).size, attempts.length);
    const tried = decision.candidates?.filter(({ state }) => state === 'tried').map(({ worker }) => worker);
    assert.deepEqual(new Set(tried), new Set(attempts.slice(0, -1).map(({ worker }) => worker)));
  }
});

test('a worker that is alone is asked again', async () => {
  await using fleet = await startFleet({
    workers: [{ faults: ['status:code=503,times=2'] }],
    router: ROUND_ROBIN,
  });
  const response = await chat(fleet);
  assert.equal(response.status, 200);
  await response.json();
  assert.deepEqual(
    answering(await fleet.decision()).map(({ status }) => status),
    [503, 503, 200],
  );
  assert.equal(sent(fleet, 0).length, 3);
  assertSent(sent(fleet, 0)[2], JSON.stringify(CHAT));
});
