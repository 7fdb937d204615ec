/** Workers are registered and removed through the API, in the background, and every step can be seen. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { pendingView, workerView } from '../../src/admin/worker-view.ts';
import { startSimWorker } from '../../src/sim/server.ts';
import { adminOf, startFarm, type AdminCall } from '../support/admin.ts';
import { chat, workerOf } from '../support/chat.ts';
import { eventually, startFleet } from '../support/fleet.ts';
import { startScriptedWorker } from '../support/scripted-worker.ts';

/** Asks for the worker until its job has ended. */
async function settledView(admin: AdminCall, url: string): Promise<any> {
  for (;;) {
    const { body } = await admin('GET', `/workers/${encodeURIComponent(url)}`);
    if (body.job === null || body.job?.status === 'failed' || body.code !== undefined) return body;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** A port on which nothing listens. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

test('a worker is registered, serves, and is removed', async () => {
  await using fleet = await startFleet({ workers: [] });
  const admin = adminOf(fleet);
  const sim = await startSimWorker({ timeScale: 0.05 });
  try {
    assert.equal((await chat(fleet)).status, 503);
    const body = { url: `${sim.url}/`, model_id: 'sim-model', priority: 7, cost: 0.5, labels: { tier: 'gold' } };
    const added = await admin('POST', '/workers', body);
    assert.equal(added.status, 202);
    assert.equal(added.body.url, sim.url);
    assert.equal(added.headers.get('location'), `/workers/${encodeURIComponent(sim.url)}`);
    assert.equal(added.body.job.kind, 'add');
    assert.match(added.body.notices[0], /priority, cost and labels/);

    const view = await settledView(admin, sim.url);
    workerView.parse(view);
    const { id, model_id, priority, cost, labels, is_healthy, source, models, version } = view;
    assert.deepEqual(
      { id, model_id, priority, cost, labels, is_healthy, source, models, version },
      { id: sim.url, ...body, url: undefined, is_healthy: true, source: 'api', models: ['sim-model'], version: '0.29.0+sim' } as any satisfies object as any && {
        id: sim.url, model_id: 'sim-model', priority: 7, cost: 0.5, labels: { tier: 'gold' }, is_healthy: true, source: 'api', models: ['sim-model'], version: '0.29.0+sim',
      },
    );
    assert.deepEqual(view.capabilities, { metrics: true, tokenize: true, responses: true, messages: true, reset_prefix_cache: true });
    assert.equal(workerOf(await chat(fleet)), sim.url);

    const list = await admin('GET', '/workers');
    assert.deepEqual([list.body.total, list.body.stats.regular_count, list.body.stats.prefill_count], [1, 1, 0]);
    for (const worker of list.body.workers) workerView.parse(worker);

    const removed = await admin('DELETE', `/workers/${sim.url}`);
    assert.deepEqual([removed.status, removed.body.status, removed.body.job.kind], [202, 'draining', 'remove']);
    await eventually(() => fleet.app.runtime.registry.workers.length === 0);
    assert.equal((await admin('GET', `/workers/${sim.url}`)).status, 404);
    assert.equal((await chat(fleet)).status, 503);
  } finally {
    await sim.stop();
  }
});
