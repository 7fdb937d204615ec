/** Prefill and decode workers: how a router is started with them, what it shows of them, and how they are registered. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startSimWorker } from '../../src/sim/server/server.ts';
import { adminOf } from '../support/admin.ts';
import { chat } from '../support/chat.ts';
import { eventually, startFleet } from '../support/fleet.ts';
import { serve } from '../support/serve.ts';

test('a router is started with a pair, says what holds for it, and is ready when both halves are', async (t) => {
  const [prefill, decode] = [
    await startSimWorker({ timeScale: 0.05, role: 'prefill', faults: ['status:code=503,path=/health'] }),
    await startSimWorker({ timeScale: 0.05, role: 'decode' }),
  ];
  t.after(() => Promise.all([prefill.stop(), decode.stop()]));
  const flags = ['--vllm-pd-disaggregation', '--prefill', prefill.url, 'none', '--decode', decode.url];
  const { url, program } = await serve(t, [...flags, '--decode-policy', 'round_robin']);
  await program.printed(/"split":"always","prefill_policy":"pair_cost","decode_policy":"round_robin"/);
  const readiness = async (): Promise<{ status: number; body: unknown }> => {
    const answer = await fetch(`${url}/readiness`);
    return { status: answer.status, body: await answer.json() };
  };
  const healthy = (worker: { readonly url: string }) =>
    program.printed(new RegExp(`"worker":"${worker.url}".*worker is healthy`));
  await healthy(decode);
  const half = { regular: { healthy: 0, total: 0 }, decode: { healthy: 1, total: 1 }, total_workers: 2 };
  assert.deepEqual(await readiness(), {
    status: 503,
    body: {
      ...{ status: 'not_ready', reason: 'no healthy prefill workers available' },
      ...{ ...half, prefill: { healthy: 0, total: 1 } },
    },
  });
  await prefill.setFaults([]);
  await healthy(prefill);
  assert.deepEqual((await readiness()).body, {
    ...{ status: 'ready', healthy_workers: 2, ...half, prefill: { healthy: 1, total: 1 } },
  });
  assert.equal((await chat({ url })).status, 200);
});

test('workers of both halves are registered, shown and counted; another type is a conflict', async (t) => {
  const [prefill, decode] = [
    await startSimWorker({ timeScale: 0.05, role: 'prefill' }),
    await startSimWorker({ timeScale: 0.05, role: 'decode' }),
  ];
  t.after(() => Promise.all([prefill.stop(), decode.stop()]));
  await using fleet = await startFleet({ workers: [], router: { enableIgw: true } });
  const admin = adminOf(fleet);
  const first = {
    url: prefill.url,
    worker_type: 'prefill',
    bootstrap_port: 8998,
    kv_transfer: { tp_size: 2 },
  };
  assert.equal((await admin('POST', '/workers', first)).status, 202);
  assert.equal((await admin('POST', '/workers', { url: decode.url, worker_type: 'decode' })).status, 202);
  await eventually(() => fleet.app.runtime.registry.workers.length === 2);
  const { workers, stats } = (await admin('GET', '/workers')).body;
  assert.deepEqual(
    workers.map((one: Record<string, unknown>) => [one['worker_type'], one['bootstrap_port']]).sort(),
    [
      ['decode', undefined],
      ['prefill', 8998],
    ],
  );
  assert.deepEqual(stats.by_type, { regular: 0, prefill: 1, decode: 1 });
  assert.deepEqual((await admin('GET', `/workers/${prefill.url}`)).body.kv_transfer, { tp_size: 2 });
  assert.equal((await admin('POST', '/workers', first)).status, 200);
  const conflict = await admin('POST', '/workers', { url: prefill.url, worker_type: 'decode' });
  assert.deepEqual(
    [conflict.status, conflict.body.error],
    [409, `${prefill.url} is registered as a prefill worker; remove it first`],
  );
});

test('the policy of a half is switched, shown, and back', async () => {
  await using fleet = await startFleet({
    workers: [{}],
    onlyRegular: 'nothing is to be configured of pairs',
  });
  const admin = adminOf(fleet);
  const shown = async (): Promise<unknown> => {
    const { prefill_policy, decode_policy, pd } = (await admin('GET', '/admin/config')).body;
    return [prefill_policy.type, decode_policy.type, pd.split];
  };
  assert.deepEqual(await shown(), ['pair_cost', 'pair_cost', 'auto']);
  const put = (body: object) => admin('PUT', '/admin/policy', body);
  const { body } = await put({ stage: 'prefill', policy: 'round_robin' });
  assert.deepEqual(
    [body.changed, body.stage, body.policy, body.previous],
    [true, 'prefill', { type: 'round_robin' }, { type: 'pair_cost' }],
  );
  assert.deepEqual(await shown(), ['round_robin', 'pair_cost', 'auto']);
  // The default policy, once it is named, is that of the half without its own.
  assert.equal((await put({ type: 'random' })).status, 200);
  assert.deepEqual(await shown(), ['round_robin', 'random', 'auto']);
  assert.equal((await put({ stage: 'decode', policy: 'pair_cost' })).status, 200);
  assert.equal((await put({ stage: 'prefill', policy: null })).status, 200);
  assert.deepEqual(await shown(), ['random', 'pair_cost', 'auto']);
  for (const wrong of [
    { stage: 'both', policy: 'random' },
    { stage: 'prefill', model: 'm', policy: 'random' },
    { policy: 'pair_cost' },
    { stage: 'prefill', policy: 'smart' },
  ])
    assert.equal((await put(wrong)).status, 400, JSON.stringify(wrong));
});
