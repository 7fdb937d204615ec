/** Keys and tenants that change while requests are under way. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../src/base/virtual-clock.ts';
import { configFromOptions } from '../../src/config/load/load.ts';
import type { RouterOptions } from '../../src/config/load/options.ts';
import { chat, pieces, streamChat } from '../support/chat.ts';
import { configured } from '../support/fleet-shape.ts';
import { eventually, startFleet, type Fleet } from '../support/fleet.ts';
import { scrape } from '../support/metrics.ts';

const as = (key: string): RequestInit => ({ headers: { authorization: `Bearer ${key}` } });

async function reload(fleet: Fleet, options: Partial<RouterOptions>): Promise<void> {
  const settings = { slowStartSecs: 0, loadCheckIntervalSecs: 0, ...configured(fleet) };
  const loaded = configFromOptions({ ...settings, ...options });
  const outcome = await fleet.app.reload({ who: 'test', dryRun: false }, loaded);
  assert.equal(outcome.kind, 'done', JSON.stringify(outcome));
}

test('a key is replaced without a gap, and what a tenant has spent stays spent', async () => {
  const clock = new VirtualClock();
  await using fleet = await startFleet({
    workers: [{}],
    clock,
    router: { apiKeys: [{ name: 'blue', key: 'sk-1', rateLimitRps: 3 }] },
  });
  await (await chat(fleet, {}, as('sk-1'))).text();
  await reload(fleet, { apiKeys: [{ name: 'blue', keys: ['sk-1', 'sk-2'], rateLimitRps: 3 }] });
  const second = await chat(fleet, {}, as('sk-2'));
  assert.equal(second.headers.get('x-ratelimit-remaining-requests'), '1');
  await reload(fleet, { apiKeys: [{ name: 'blue', key: 'sk-2', rateLimitRps: 3 }] });
  assert.equal((await chat(fleet, {}, as('sk-1'))).status, 401);
  assert.equal((await chat(fleet, {}, as('sk-2'))).status, 200);
  assert.equal((await chat(fleet, {}, as('sk-2'))).status, 429);
  const blue = fleet.app.runtime.clients.tenants.named('blue');
  assert.equal(blue?.totalRequests, 3);
});

test('streams of a tenant that is taken away finish; its key and its series are gone', async () => {
  await using fleet = await startFleet({
    workers: [{ faults: ['hang:after=2,times=1'] }],
    router: {
      apiKeys: [
        { name: 'blue', key: 'sk-blue' },
        { name: 'red', key: 'sk-red' },
      ],
    },
  });
  const controller = new AbortController();
  const stream = await streamChat(fleet, {}, { ...as('sk-blue'), signal: controller.signal });
  await pieces(stream).next();
  const blue = fleet.app.runtime.clients.tenants.named('blue');
  await (await chat(fleet, {}, as('sk-blue'))).text();
  await eventually(() => blue?.inFlight === 1);
  const route = '/v1/chat/completions';
  const series = (name: string) => ['vllm_router_tenant_requests_total', { tenant: name, route }] as const;
  assert.equal((await scrape(fleet)).value(...series('blue')), 1);
  await reload(fleet, { apiKeys: [{ name: 'red', key: 'sk-red' }] });
  assert.equal((await chat(fleet, {}, as('sk-blue'))).status, 401);
  assert.equal(blue?.inFlight, 1);
  controller.abort();
  await eventually(() => blue?.inFlight === 0 && fleet.app.runtime.admission.inFlight === 0);
  const metrics = await scrape(fleet);
  assert.equal(metrics.sum('vllm_router_tenant_requests_total', { tenant: 'blue' }), 0);
  assert.equal(metrics.sum('vllm_router_tenant_inflight_requests', { tenant: 'blue' }), 0);
  // One of that name again is a new one, and counted.
  await reload(fleet, { apiKeys: [{ name: 'blue', key: 'sk-blue' }] });
  await (await chat(fleet, {}, as('sk-blue'))).text();
  await eventually(() => fleet.app.runtime.clients.tenants.named('blue')?.inFlight === 0);
  assert.equal((await scrape(fleet)).value(...series('blue')), 1);
});

test('keys can be asked for from one moment to the next, and not any more', async () => {
  await using fleet = await startFleet({ workers: [{}] });
  assert.equal((await chat(fleet)).status, 200);
  await reload(fleet, { inboundApiKey: 'sk-all' });
  assert.equal((await chat(fleet)).status, 401);
  assert.equal((await chat(fleet, {}, as('sk-all'))).status, 200);
  await reload(fleet, {});
  assert.equal((await chat(fleet)).status, 200);
});
