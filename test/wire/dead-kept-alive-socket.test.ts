/** Workers close idle connections whenever they like, also in the moment when the next request is on its way. */
import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { test } from 'node:test';
import type { Duplex } from 'node:stream';
import type { RouterOptions } from '../../src/config/load/options.ts';
import { chat, post, readBody } from '../support/chat.ts';
import { startFleet, type Fleet } from '../support/fleet.ts';
import { scrape } from '../support/metrics.ts';
import { answerJson, startScriptedWorker, type ScriptedWorker } from '../support/scripted-worker.ts';

/** Nothing that could hide a failure. */
const STRICT: RouterOptions = { disableRetries: true, retry: { budgetRatio: 0, budgetFloor: 0 } };

/** A worker that answers the first request of each connection; `onReuse` has the others. */
function startWorker(onReuse: (response: ServerResponse) => void): Promise<ScriptedWorker> {
  const used = new WeakSet<Duplex>();
  return startScriptedWorker((response) => {
    const { socket } = response;
    assert.ok(socket);
    if (used.has(socket)) {
      onReuse(response);
      return;
    }
    used.add(socket);
    answerJson(response);
  });
}

function fleetOf(worker: ScriptedWorker, router = STRICT): Promise<Fleet> {
  return startFleet({
    ...{ workers: [], extraWorkerUrls: [worker.url], router },
    oneThread: 'each thread has connections of its own to a worker, and these tests need the same one again',
  });
}

for (const [how, cut] of Object.entries({
  'closes it': (response: ServerResponse) => response.socket?.end(),
  'resets it': (response: ServerResponse) => response.socket?.resetAndDestroy(),
})) {
  test(`a worker that ${how}: sent again on a fresh connection, at nobody's expense`, async () => {
    await using worker = await startWorker(cut);
    await using fleet = await fleetOf(worker);
    for (let turn = 0; turn < 5; turn += 1) {
      const response = await chat(fleet);
      assert.equal(response.status, 200);
      assert.deepEqual(await response.json(), { ok: true });
    }
    const resent = worker.received.length - 5;
    assert.ok(resent > 0, 'no connection was used twice');
    // Whole bodies each time.
    assert.equal(new Set(worker.received.map(({ body }) => String(body))).size, 1);
    const { attempts, outcome } = await fleet.decision(({ attempts: [first] }) => first?.resent === true);
    assert.equal(outcome, 'ok');
    assert.equal(attempts.length, 1);
    const metrics = await scrape(fleet);
    assert.equal(metrics.value('vllm_router_connection_resends_total', { worker: worker.url }), resent);
    assert.equal(metrics.sum('vllm_router_retries_total'), 0);
    assert.equal(metrics.sum('vllm_router_cb_outcomes_total', { outcome: 'failure' }), 0);
  });
}

test('when the fresh connection dies, too, the worker has failed', async () => {
  let broken = false;
  await using worker = await startScriptedWorker((response) => {
    if (broken) response.socket?.resetAndDestroy();
    else answerJson(response);
  });
  await using fleet = await fleetOf(worker);
  assert.equal((await chat(fleet)).status, 200);
  broken = true;
  const response = await chat(fleet);
  assert.equal(response.status, 502);
  await response.text();
  assert.equal(worker.received.length, 3);
  const { attempts } = await fleet.decision();
  assert.equal(attempts[0]?.error, 'worker_closed');
  const metrics = await scrape(fleet);
  assert.equal(metrics.sum('vllm_router_cb_outcomes_total', { outcome: 'failure' }), 1);
});

test('what dies after the first byte of its response is not sent again', async () => {
  await using worker = await startWorker(({ socket }) => {
    socket?.write('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbeginning', () => socket.resetAndDestroy());
  });
  await using fleet = await fleetOf(worker);
  await (await chat(fleet)).text();
  const body = await readBody(await chat(fleet));
  assert.deepEqual(body, { text: 'beginning', whole: false });
  assert.equal(worker.received.length, 2);
});

test('what dies after part of its head is not sent again', async () => {
  await using worker = await startWorker(({ socket }) => {
    socket?.write('HTTP/1.1 200 OK\r\ncontent-le', () => socket.end());
  });
  await using fleet = await fleetOf(worker);
  await (await chat(fleet)).text();
  assert.equal((await chat(fleet)).status, 502);
  assert.equal(worker.received.length, 2);
});

test('a connection is given up a second before the worker would do it', async () => {
  const closed: PromiseWithResolvers<number> = Promise.withResolvers();
  await using worker = await startScriptedWorker((response) => {
    const at = performance.now();
    response.socket?.once('close', () => closed.resolve(performance.now() - at));
    response.setHeader('keep-alive', 'timeout=2');
    answerJson(response);
  });
  await using fleet = await fleetOf(worker);
  await (await chat(fleet)).text();
  const idleMs = await closed.promise;
  assert.ok(idleMs > 800 && idleMs < 1_900, `${idleMs} ms`);
});

test('what must not happen twice never meets a connection that may have died', async () => {
  await using worker = await startWorker(({ socket }) => socket?.resetAndDestroy());
  await using fleet = await fleetOf(worker);
  await (await chat(fleet)).text();
  for (const path of ['/custom/action', '/v1/responses/resp_x/cancel']) {
    const response = await post(fleet, path, { turn: 'on' });
    assert.equal(response.status, 200);
    await response.text();
  }
  assert.equal(worker.received.length, 3);
  assert.equal((await scrape(fleet)).sum('vllm_router_connection_resends_total'), 0);
});
