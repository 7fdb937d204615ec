/** What operators see and change of tenants. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../src/base/virtual-clock.ts';
import { adminOf } from '../support/admin.ts';
import { chat } from '../support/chat.ts';
import { eventually, startFleet } from '../support/fleet.ts';

const BLUE = {
  name: 'blue team',
  key: 'sk-blue',
  rateLimitRps: 2,
  tokensPerMinute: 1000,
  metadata: { owner: 'Ada' },
};
const RED = {
  name: 'red',
  keys: ['sk-red', 'sk-red-2'],
  allowedModels: ['sim-*'],
  priorityClass: 'high' as const,
};
const as = (key: string): RequestInit => ({ headers: { authorization: `Bearer ${key}` } });

test('GET /admin/tenants shows limits and what has been used, and no key', async () => {
  await using fleet = await startFleet({
    workers: [{}],
    clock: new VirtualClock(),
    router: { adminApiKey: 'root', apiKeys: [BLUE, RED] },
  });
  const admin = adminOf(fleet, 'root');
  for (let turn = 0; turn < 3; turn += 1) await (await chat(fleet, {}, as('sk-blue'))).text();
  const blue = fleet.app.runtime.clients.tenants.named('blue team');
  await eventually(() => blue?.inFlight === 0);
  const { status, body } = await admin('GET', '/admin/tenants');
  assert.equal(status, 200);
  assert.equal(body.tenants.length, 2);
  assert.deepEqual(body.tenants[0], {
    name: 'blue team',
    enabled: true,
    rate_limit_rps: 2,
    max_concurrent: 50,
    tokens_per_minute: 1000,
    allowed_models: ['*'],
    priority_class: 'normal',
    total_requests: 2,
    total_rate_limited: 1,
    in_flight: 0,
    tokens_used: blue?.tokensUsed,
    tokens_remaining: 1000 - (blue?.tokensUsed ?? 0),
    keys: 1,
    metadata: { owner: 'Ada' },
  });
  assert.ok((blue?.tokensUsed ?? 0) > 0);
  assert.ok(!JSON.stringify(body).includes('sk-'));
  const one = await admin('GET', '/admin/tenants/blue%20team');
  assert.deepEqual(one.body, body.tenants[0]);
  assert.equal((await admin('GET', '/admin/tenants/red')).body.keys, 2);
  const unknown = await admin('GET', '/admin/tenants/green');
  assert.deepEqual([unknown.status, unknown.body.code], [404, 'TENANT_NOT_FOUND']);
  const stats = await admin('GET', '/admin/stats');
  assert.equal(stats.body.tenants.count, 2);
  assert.deepEqual(stats.body.tenants.entries, body.tenants);
});

test('without tenants the list says so', async () => {
  await using fleet = await startFleet({ workers: [{}], waitForWorkers: false });
  const admin = adminOf(fleet);
  const { body } = await admin('GET', '/admin/tenants');
  assert.deepEqual(body.tenants, []);
  assert.match(body.message, /no tenants/);
  assert.equal((await admin('GET', '/admin/stats')).body.tenants, undefined);
});

test('the configuration that is shown, and kept, has no key in it', async () => {
  await using fleet = await startFleet({
    workers: [{}],
    waitForWorkers: false,
    router: { apiKeys: [BLUE, RED], inboundApiKey: 'sk-all' },
  });
  const { body } = await adminOf(fleet)('GET', '/admin/config');
  assert.equal(body.api_keys[0].key, '***');
  assert.equal(body.api_keys[1].keys, '***');
  assert.equal(body.inbound_api_key, '***');
  assert.ok(!JSON.stringify(body).includes('sk-'));
});

test('a request may be explained as that of a tenant', async () => {
  await using fleet = await startFleet({ workers: [{}], router: { apiKeys: [BLUE, RED] } });
  const admin = adminOf(fleet);
  const ask = (tenant?: string) =>
    admin('POST', '/admin/explain', {
      path: '/v1/completions',
      body: { model: 'other', prompt: 'hi' },
      ...(tenant === undefined ? {} : { tenant }),
    });
  assert.equal((await ask()).body.outcome, 'routed');
  assert.equal((await ask('blue team')).body.outcome, 'routed');
  const refused = await ask('red');
  assert.deepEqual([refused.body.outcome, refused.body.error.code], ['rejected', 'model_not_allowed']);
  assert.equal((await ask('green')).status, 404);
});
