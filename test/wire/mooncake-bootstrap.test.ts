/** The ids of a prefill worker's engines: known when its bootstrap server says them, also where that is late, or says others. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { test, type TestContext } from 'node:test';
import { startSimWorker } from '../../src/sim/server/server.ts';
import { VirtualClock } from '../../src/base/virtual-clock.ts';
import { adminOf, settledWorker } from '../support/admin.ts';
import { chat } from '../support/chat.ts';
import { eventually, roundTrip, startFleet, type Fleet } from '../support/fleet.ts';
import { freePort } from '../support/free-port.ts';
import { scrape } from '../support/metrics.ts';
import { startScriptedWorker } from '../support/scripted-worker.ts';

async function startBootstrap(t: TestContext, port: number, engineId: () => string): Promise<Server> {
  const server = createServer((request, response) => {
    const engines = { 0: { engine_id: engineId(), worker_addr: { 0: { 0: 'tcp://127.0.0.1:3000' } } } };
    response.writeHead(request.url === '/query' ? 200 : 404).end(JSON.stringify(engines));
  }).listen(port, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return server;
}

const engineOf = ({ app }: Pick<Fleet, 'app'>, url: string): string | undefined =>
  app.runtime.registry.get(url)?.traits.kvTransfer?.engineIds?.['0'];

test('a bootstrap server that is down at the start is asked until it is there, and again when a transfer failed', async (t) => {
  const clock = new VirtualClock();
  const port = await freePort();
  const prefill = await startSimWorker({ timeScale: 0 });
  t.after(() => prefill.stop());
  await using fleet = await startFleet({
    ...{ workers: [{}], clock },
    onlyRegular: 'the test brings a prefill worker of its own',
  });
  const admin = adminOf(fleet);
  const body = { url: prefill.url, worker_type: 'prefill', bootstrap_port: port };
  assert.equal((await admin('POST', '/workers', body)).status, 202);
  const shown = await settledWorker(admin, prefill.url);
  assert.equal(shown.body.is_healthy, true);
  const failed = async (): Promise<number> =>
    (await scrape(fleet)).value('vllm_router_pd_bootstrap_queries_total', {
      worker: prefill.url,
      outcome: 'failed',
    });
  clock.advance(0);
  while ((await failed()) === 0);
  assert.equal(engineOf(fleet, prefill.url), undefined);
  let engineId = 'first';
  await startBootstrap(t, port, () => engineId);
  await eventually(() => {
    clock.advance(500);
    return engineOf(fleet, prefill.url) === 'first';
  });
  // The engine was started anew, so fast that no check saw it.
  engineId = 'second';
  clock.advance(1000);
  const worker = fleet.app.runtime.registry.get(prefill.url) ?? assert.fail();
  fleet.app.runtime.registry.reportTransferFailed(worker);
  clock.advance(1000);
  await eventually(() => engineOf(fleet, prefill.url) === 'second');
  // What the worker was registered as has not changed by it.
  assert.equal((await admin('POST', '/workers', body)).status, 200);
});

test('what control has learnt goes to the decode worker, in whichever thread it is asked', async (t) => {
  const port = await freePort();
  await startBootstrap(t, port, () => 'engine');
  const prefill = await startSimWorker({ timeScale: 0 });
  t.after(() => prefill.stop());
  await using decode = await startScriptedWorker();
  const pd = { kvConnector: 'mooncake', split: 'always' } as const;
  await using fleet = await startFleet({ workers: [], router: { threads: 2, pd } });
  const admin = adminOf(fleet);
  await admin('POST', '/workers', { url: prefill.url, worker_type: 'prefill', bootstrap_port: port });
  await admin('POST', '/workers', { url: decode.url, worker_type: 'decode' });
  for (const { url } of [prefill, decode]) await settledWorker(admin, url);
  await eventually(() => engineOf(fleet, prefill.url) === 'engine');
  await roundTrip(fleet);
  assert.equal((await chat(fleet)).status, 200);
  const { kv_transfer_params: params } = JSON.parse(decode.last.body.toString());
  assert.equal(params.remote_engine_id, 'engine');
  assert.equal(params.remote_bootstrap_addr, `http://127.0.0.1:${port}`);
  const { kv_transfer: shown } = (await admin('GET', `/workers/${encodeURIComponent(prefill.url)}`)).body;
  assert.deepEqual(shown.engine_ids, { 0: 'engine' });
});
