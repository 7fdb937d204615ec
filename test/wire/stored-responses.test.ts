/** A stored response is known to the one worker that made it: its id leads back there. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { post, workerOf } from '../support/chat.ts';
import type { Fleet } from '../support/fleet.ts';
import { ask } from '../support/raw-client.ts';
import {
  startRouter,
  startScriptedWorker,
  type Script,
  type ScriptedWorker,
} from '../support/scripted-worker.ts';

/** A worker with responses of its own; what it does not know is 404. */
async function startStore(prefix: string): Promise<ScriptedWorker> {
  const known = new Set<string>();
  const answer: Script = (response, { method, url, body }) => {
    const [path = ''] = url.split('?');
    if (path === '/v1/responses') {
      const id = `resp_${prefix}${known.size}`;
      known.add(id);
      const created = JSON.stringify({
        id,
        object: 'response',
        output: [{ id: 'msg_1' }],
        previous_response_id: null,
      });
      const { stream } = JSON.parse(body.toString()) as { stream?: boolean };
      if (stream === true) {
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        response.write(
          `event: response.created\ndata: {"type":"response.created","response":${created}}\n\n`,
        );
        response.end(
          `event: response.completed\ndata: {"type":"response.completed","response":${created}}\n\n`,
        );
      } else {
        response.writeHead(200, { 'content-type': 'application/json' }).end(created);
      }
      return;
    }
    const [, id = '', rest = ''] = /^\/v1\/responses\/([^/]+)(.*)$/.exec(path) ?? [];
    const status = known.has(decodeURIComponent(id)) ? 200 : 404;
    if (method === 'DELETE') known.delete(id);
    response
      .writeHead(status, { 'content-type': 'application/json' })
      .end(JSON.stringify({ id, rest, by: prefix }));
  };
  const worker = await startScriptedWorker(answer);
  return worker;
}

async function startStores(router: object = {}) {
  const workers = [await startStore('a'), await startStore('b'), await startStore('c')];
  const fleet = await startRouter(workers, { router: { policy: 'round_robin', ...router } });
  return {
    workers,
    fleet,
    asked: () => workers.reduce((sum, { received }) => sum + received.length, 0),
    async [Symbol.asyncDispose]() {
      await fleet[Symbol.asyncDispose]();
      for (const worker of workers) await worker[Symbol.asyncDispose]();
    },
  };
}

async function create(fleet: Fleet, fields: object = {}): Promise<{ id: string; worker: string | null }> {
  const response = await post(fleet, '/v1/responses', { model: 'sim-model', input: 'hi', ...fields });
  assert.equal(response.status, 200);
  const [, id = ''] = /"id":"(resp_[^"]+)"/.exec(await response.text()) ?? [];
  return { id, worker: workerOf(response) };
}

for (const stream of [false, true]) {
  test(`reading, listing and cancelling go back to the maker${stream ? ' of a streamed one' : ''}`, async () => {
    await using stores = await startStores();
    for (let i = 0; i < 3; i += 1) {
      const { id, worker } = await create(stores.fleet, { stream });
      for (const [method, path] of [
        ['GET', id],
        ['GET', `${id}/input_items`],
        ['POST', `${id}/cancel`],
        ['GET', `${id}?include=x`],
        ['DELETE', id],
      ] as const) {
        const before = stores.asked();
        const response = await fetch(`${stores.fleet.url}/v1/responses/${path}`, { method });
        assert.equal(response.status, 200);
        assert.equal(workerOf(response), worker);
        assert.equal(response.headers.get('x-vllm-router-method'), 'owner');
        assert.equal(stores.asked(), before + 1);
      }
    }
  });
}

test('a response that continues another goes to that one’s maker', async () => {
  await using stores = await startStores();
  const first = await create(stores.fleet);
  for (let i = 0; i < 4; i += 1) {
    const next = await create(stores.fleet, { previous_response_id: first.id });
    assert.equal(next.worker, first.worker);
  }
  const decision = await stores.fleet.decision();
  assert.deepEqual([decision.method, decision.reason], ['owner', 'stored_resource']);
  assert.notEqual((await create(stores.fleet, { previous_response_id: 'resp_unknown' })).id, '');
});

test('an id that the router does not know is asked for, and then known', async () => {
  await using stores = await startStores();
  const [, , third] = stores.workers;
  assert.ok(third);
  // Made by a request that did not pass this router.
  await fetch(`${third.url}/v1/responses`, { method: 'POST', body: '{}' });
  const path = `${stores.fleet.url}/v1/responses/resp_c0`;
  const found = await fetch(path);
  assert.equal(found.status, 200);
  assert.equal(workerOf(found), third.url);
  const before = stores.asked();
  const again = await fetch(path);
  assert.equal(again.headers.get('x-vllm-router-method'), 'owner');
  assert.equal(stores.asked(), before + 1);
});

test('an id that nobody knows: each worker is asked once, and the last 404 is the answer', async () => {
  await using stores = await startStores();
  for (const [method, path] of [
    ['GET', '/v1/responses/resp_nobody'],
    ['POST', '/v1/responses/resp_nobody/cancel'],
    ['DELETE', '/v1/responses/resp_nobody'],
  ] as const) {
    const before = stores.asked();
    const response = await fetch(stores.fleet.url + path, { method });
    assert.equal(response.status, 404);
    assert.equal(JSON.parse(await response.text()).id, 'resp_nobody');
    assert.equal(stores.asked(), before + 3);
  }
  assert.deepEqual(
    stores.workers.map(({ received }) => received.length),
    [3, 3, 3],
  );
});

test('asking around is no retry: neither the limit nor the budget of retries ends it', async () => {
  await using stores = await startStores({ disableRetries: true, retry: { budgetRatio: 0, budgetFloor: 0 } });
  const [, , third] = stores.workers;
  await fetch(`${third?.url ?? ''}/v1/responses`, { method: 'POST', body: '{}' });
  assert.equal((await fetch(`${stores.fleet.url}/v1/responses/resp_c0`)).status, 200);
  assert.doesNotMatch(await stores.fleet.metrics(), /vllm_router_retries_total\{[^}]*\} [1-9]/);
});

test('a streamed upload cannot be asked around with: the first 404 is the answer', async () => {
  await using stores = await startStores();
  const response = await ask(
    stores.fleet.port,
    'POST /v1/responses/resp_nobody/cancel HTTP/1.1\r\nHost: r\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n',
  );
  assert.equal(response.status, 404);
  assert.equal(stores.asked(), 1);
});

test('a response is not made twice: store and background are retried only before they were sent', async () => {
  for (const field of ['store', 'background']) {
    await using first = await startScriptedWorker((response) => response.socket?.destroy());
    await using second = await startScriptedWorker((response) => response.socket?.destroy());
    await using fleet = await startRouter([first, second]);
    const response = await post(fleet, '/v1/responses', { model: 'sim-model', input: 'hi', [field]: true });
    assert.equal(response.status, 502);
    assert.equal(first.received.length + second.received.length, 1);
  }
});

test('a maker that is drained still answers for what it made', async () => {
  await using stores = await startStores();
  const { id, worker } = await create(stores.fleet);
  const maker = stores.fleet.app.runtime.registry.get(worker ?? '');
  assert.ok(maker);
  maker.draining = true;
  const response = await fetch(`${stores.fleet.url}/v1/responses/${id}`);
  assert.deepEqual([response.status, workerOf(response)], [200, worker]);
});

test('while its maker is out of reach a response is unavailable, not gone', async () => {
  await using stores = await startStores();
  const { id, worker } = await create(stores.fleet);
  const { registry } = stores.fleet.app.runtime;
  const maker = registry.get(worker ?? '');
  assert.ok(maker);
  for (let failures = 0; failures < 3; failures += 1) registry.reportCheck(maker, false, 'test');
  const before = stores.asked();
  const response = await fetch(`${stores.fleet.url}/v1/responses/${id}`);
  assert.equal(response.status, 503);
  assert.equal(response.headers.get('retry-after'), '1');
  assert.equal(stores.asked(), before, 'nobody else was asked');
});
