/** Workers come and go by the thousand while requests are under way, and no request notices. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { adminOf, startFarm } from '../support/admin.ts';
import { chat } from '../support/chat.ts';
import { eventually, startFleet } from '../support/fleet.ts';

const LANES = 16;
const CLIENTS = 16;
/** On two busy cores thousands of jobs take their time. */
const A_MINUTE = 60_000;

/** Calls `work` for 0 to count - 1, `LANES` at a time. */
async function inLanes(count: number, work: (index: number) => Promise<void>): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    for (let at = next++; at < count; at = next++) await work(at);
  };
  await Promise.all(Array.from({ length: LANES }, lane));
}

for (const [workers, policy] of [
  [1000, 'cache_aware'],
  [250, 'consistent_hash'],
] as const) {
  test(`${workers} workers are added and removed under load without a failed request: ${policy}`, async () => {
    await using farm = await startFarm();
    await using fleet = await startFleet({
      workers: [],
      extraWorkerUrls: [farm.url('always')],
      router: { policy },
    });
    const admin = adminOf(fleet);
    const { registry, ledger } = fleet.app.runtime;
    let running = true;
    let session = 0;
    const statuses = new Map<number, number>();
    const clients = Array.from({ length: CLIENTS }, async () => {
      while (running) {
        const headers = { 'x-session-id': `s-${session++}` };
        const response = await chat(fleet, { model: 'farm-model' }, { headers });
        await response.arrayBuffer();
        statuses.set(response.status, (statuses.get(response.status) ?? 0) + 1);
      }
    });

    await inLanes(workers, async (at) => {
      assert.equal((await admin('POST', '/workers', { url: farm.url(`w${at}`) })).status, 202);
    });
    await eventually(() => registry.workers.length === workers + 1, A_MINUTE);
    assert.equal((await admin('GET', '/workers')).body.stats.healthy_count, workers + 1);
    await inLanes(workers, async (at) => {
      assert.equal((await admin('DELETE', `/workers/${farm.url(`w${at}`)}`)).status, 202);
    });
    await eventually(() => registry.workers.length === 1 && fleet.app.openJobs === 0, A_MINUTE);

    running = false;
    await Promise.all(clients);
    assert.deepEqual([...statuses.keys()], [200]);
    assert.ok((statuses.get(200) ?? 0) > 100, `only ${statuses.get(200) ?? 0} requests`);
    assert.ok(farm.served.size > 50, `only ${farm.served.size} workers were used`);
    // Slots are given back, and what is known of each worker goes with it.
    for (let at = 0; at < 10; at += 1)
      assert.ok(ledger.allocate().slot <= workers + LANES, 'slots of removed workers are not reused');
    assert.equal((await fleet.metrics()).match(/^vllm_router_worker_health\{/gm)?.length, 1);
  });
}
