/** Whom the queue serves next when there are tenants: by class, and within a class by tokens, however many requests one of them sends. */
import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { test } from 'node:test';
import type { FleetOptions } from '../support/fleet.ts';
import { adminOf } from '../support/admin.ts';
import { chat, CHAT } from '../support/chat.ts';
import { eventually, startFleet, type Fleet } from '../support/fleet.ts';
import { scrape } from '../support/metrics.ts';
import { startRouter, startScriptedWorker, type ScriptedWorker } from '../support/scripted-worker.ts';

type Tenant = 'flood' | 'other' | 'vip';

/** Limits of their own that are out of the way, so that what they meet is the queue. */
const APART = { rateLimitRps: 1e6, maxConcurrent: 10_000 } as const;
const TENANTS = [
  { name: 'flood', key: 'key-of-flood', ...APART },
  { name: 'other', key: 'key-of-other', ...APART },
  { name: 'vip', key: 'key-of-vip', priorityClass: 'high', ...APART },
] as const;

function chatOf(
  fleet: Fleet,
  tenant: Tenant,
  fields: object = {},
  init: RequestInit = {},
): Promise<Response> {
  return chat(fleet, fields, { ...init, headers: { authorization: `Bearer key-of-${tenant}` } });
}

async function queued(fleet: Fleet, count: number): Promise<void> {
  const { admission } = fleet.app.runtime;
  await eventually(() => admission.queued === count);
}

/** A worker that keeps every request until it is told to answer. */
async function startPatientWorker(): Promise<
  ScriptedWorker & { readonly held: ServerResponse[]; answerNext(tokens?: number): void }
> {
  const held: ServerResponse[] = [];
  const worker = await startScriptedWorker((response) => held.push(response));
  return Object.assign(worker, {
    held,
    answerNext(tokens = 100) {
      const response = held.shift() ?? assert.fail('the worker has no request');
      const usage = { prompt_tokens: 0, completion_tokens: tokens, total_tokens: tokens };
      response
        .writeHead(200, { 'content-type': 'application/json' })
        .end(JSON.stringify({ object: 'chat.completion', choices: [], usage }));
    },
  });
}

function startTenants(
  worker: ScriptedWorker,
  router: NonNullable<FleetOptions['router']> = {},
): Promise<Fleet> {
  return startRouter([worker], {
    router: { apiKeys: TENANTS, adminApiKey: 'admin', maxConcurrentRequests: 1, queueSize: 50, ...router },
  });
}

/** Who made the requests that the worker got, in order. */
function order(worker: ScriptedWorker): string[] {
  return worker.received.map(({ body }) => (JSON.parse(String(body)) as { user: string }).user);
}

/** Answers one after the other until nobody waits any more. */
async function serveAll(
  fleet: Fleet,
  worker: Awaited<ReturnType<typeof startPatientWorker>>,
  tokens?: (user: string) => number,
): Promise<void> {
  const { admission } = fleet.app.runtime;
  // Between one and the next nobody may have the place for a moment.
  const isOver = (): boolean => admission.inFlight + admission.queued === 0;
  for (let served = 0; !isOver(); served += 1) {
    await eventually(() => worker.held.length > 0);
    worker.answerNext(tokens?.(order(worker)[served] ?? ''));
    await eventually(() => worker.received.length > served + 1 || isOver());
  }
}

async function meanWaitMs(fleet: Fleet, tenant: Tenant): Promise<number> {
  const waits = (await fleet.app.allDecisions(1000))
    .filter((decision) => decision.tenant === tenant && decision.status === 200)
    .map((decision) => decision.queue_ms);
  return waits.reduce((sum, ms) => sum + ms, 0) / waits.length;
}

test('twenty times the requests: the tokens are halved all the same, and the other waits for its own', async () => {
  await using fleet = await startFleet({
    workers: [{}],
    router: { apiKeys: TENANTS, maxConcurrentRequests: 4, queueSize: 60 },
  });
  const tokens = { flood: 0, other: 0 };
  const answered = { flood: 0, other: 0 };
  const refused = { flood: 0, other: 0 };
  // Who was refused tries again when somebody was answered, one at a time.
  const turnedAway: (() => void)[] = [];
  const ask = async (tenant: 'flood' | 'other', fields: object): Promise<void> => {
    const response = await chatOf(fleet, tenant, fields);
    const { usage } = (await response.json()) as { usage?: { total_tokens: number } };
    if (response.status === 429) {
      refused[tenant] += 1;
      assert.ok(Number(response.headers.get('retry-after')) >= 1);
      await new Promise<void>((resolve) => turnedAway.push(resolve));
      return;
    }
    assert.equal(response.status, 200);
    answered[tenant] += 1;
    tokens[tenant] += usage?.total_tokens ?? 0;
    if (answered.other === WARM) atFirst = { ...tokens };
    if (answered.other <= ENOUGH)
      during = { flood: tokens.flood - atFirst.flood, other: tokens.other - atFirst.other };
    turnedAway.shift()?.();
  };
  const WARM = 16;
  const ENOUGH = 160;
  let atFirst = { ...tokens };
  let during = { ...tokens };
  const client = async (tenant: 'flood' | 'other', fields: object): Promise<void> => {
    while (answered.other < ENOUGH) await ask(tenant, fields);
  };
  // The flood also asks for longer answers: it is tokens that are shared.
  const flood = Array.from({ length: 160 }, () => client('flood', { max_tokens: 96 }));
  await queued(fleet, 60);
  await Promise.all(Array.from({ length: 8 }, () => client('other', { max_tokens: 32 })));
  for (const retry of turnedAway) retry();
  await Promise.all(flood);

  const share = during.other / (during.other + during.flood);
  assert.ok(share >= 0.4 && share <= 0.6, `${(share * 100).toFixed(1)}% of the tokens`);
  assert.equal(refused.other, 0);
  assert.ok(refused.flood > 0);
  // The other waits for its own requests, the flood for its own.
  const [waited, floodWaited] = [await meanWaitMs(fleet, 'other'), await meanWaitMs(fleet, 'flood')];
  assert.ok(waited < floodWaited / 3, `${waited} ms and ${floodWaited} ms`);
});

test('a burst in front of it costs a tenant a few turns, not the burst', async () => {
  await using worker = await startPatientWorker();
  await using fleet = await startTenants(worker);
  const responses = [chatOf(fleet, 'flood', { user: 'first' })];
  await eventually(() => worker.held.length === 1);
  for (let turn = 0; turn < 40; turn += 1) responses.push(chatOf(fleet, 'flood', { user: 'flood' }));
  await queued(fleet, 40);
  for (let turn = 0; turn < 3; turn += 1) responses.push(chatOf(fleet, 'other', { user: 'other' }));
  await queued(fleet, 43);
  await serveAll(fleet, worker);
  assert.deepEqual(new Set((await Promise.all(responses)).map(({ status }) => status)), new Set([200]));
  assert.ok(order(worker).lastIndexOf('other') <= 8, order(worker).join(' '));
});

test('a higher class overtakes; statistics, metrics and records say who waits in which', async () => {
  await using worker = await startPatientWorker();
  await using fleet = await startTenants(worker);
  const responses = [chatOf(fleet, 'other', { user: 'first' })];
  await eventually(() => worker.held.length === 1);
  for (let turn = 0; turn < 5; turn += 1) responses.push(chatOf(fleet, 'other', { user: 'other' }));
  await queued(fleet, 5);
  responses.push(chatOf(fleet, 'vip', { user: 'vip' }));
  await queued(fleet, 6);

  const { body } = await adminOf(fleet, 'admin')('GET', '/admin/stats');
  assert.deepEqual(body.queue.waiting, { high: 1, normal: 5, low: 0 });
  assert.deepEqual(
    body.queue.longest.map((flow: { tenant: string; class: string; waiting: number }) => [
      flow.tenant,
      flow.class,
      flow.waiting,
    ]),
    [
      ['other', 'normal', 5],
      ['vip', 'high', 1],
    ],
  );
  let metrics = await scrape(fleet);
  assert.equal(metrics.value('vllm_router_queued_requests', { class: 'high' }), 1);
  assert.equal(metrics.value('vllm_router_queued_requests', { class: 'low' }), 0);
  assert.equal(metrics.value('vllm_router_queue_flows'), 2);

  await serveAll(fleet, worker);
  await Promise.all(responses);
  assert.equal(order(worker).indexOf('vip'), 1);
  const decision = await fleet.decision(({ tenant }) => tenant === 'vip');
  assert.equal(decision.priority_class, 'high');
  assert.ok(decision.queue_ms > 0);
  metrics = await scrape(fleet);
  assert.equal(metrics.value('vllm_router_queue_duration_seconds_count', { class: 'high' }), 1);
  assert.equal(metrics.value('vllm_router_queue_duration_seconds_count', { class: 'normal' }), 6);
});

test('a flood that fills the queue gives places up: 429 for its newest, with Retry-After', async () => {
  await using worker = await startPatientWorker();
  await using fleet = await startTenants(worker, { queueSize: 4 });
  const first = chatOf(fleet, 'flood', { user: 'first' });
  await eventually(() => worker.held.length === 1);
  const flood: Promise<Response>[] = [];
  for (let turn = 1; turn <= 4; turn += 1) {
    flood.push(chatOf(fleet, 'flood', { user: `flood ${turn}` }));
    await queued(fleet, turn);
  }
  const refused = await chatOf(fleet, 'flood', { user: 'one too many' });
  assert.equal(refused.status, 429);
  const other = chatOf(fleet, 'other', { user: 'other' });
  const newest = (await flood[3]) ?? assert.fail();
  assert.equal(newest.status, 429);
  assert.equal(newest.headers.get('retry-after'), '1');
  const { error } = (await newest.json()) as { error: { code: string; type: string } };
  assert.deepEqual([error.code, error.type], ['queue_full', 'rate_limit_error']);
  await serveAll(fleet, worker);
  const statuses = (await Promise.all([first, other, ...flood])).map(({ status }) => status);
  assert.deepEqual(statuses, [200, 200, 200, 200, 200, 429]);
  assert.ok(!order(worker).includes('flood 4'));
  const metrics = await scrape(fleet);
  assert.equal(metrics.value('vllm_router_queue_pushed_out_total', { class: 'normal' }), 1);
  assert.equal(metrics.value('vllm_router_admission_rejections_total', { reason: 'queue_full' }), 2);
  const decision = await fleet.decision(({ queue_ms: ms, status }) => status === 429 && ms > 0);
  assert.deepEqual([decision.outcome, decision.tenant, decision.attempts.length], ['rejected', 'flood', 0]);
});

test('who says that an answer is short and takes a long one sits out for it', async () => {
  await using worker = await startPatientWorker();
  await using fleet = await startTenants(worker);
  const responses = [chatOf(fleet, 'flood', { user: 'first' })];
  await eventually(() => worker.held.length === 1);
  for (let turn = 0; turn < 3; turn += 1)
    responses.push(chatOf(fleet, 'flood', { user: 'liar', max_tokens: 1 }));
  await queued(fleet, 3);
  for (let turn = 0; turn < 8; turn += 1)
    responses.push(chatOf(fleet, 'other', { user: 'other', max_tokens: 500 }));
  await queued(fleet, 11);
  await serveAll(fleet, worker, (user) => (user === 'liar' ? 3000 : 500));
  await Promise.all(responses);
  const served = order(worker);
  assert.deepEqual(served.slice(0, 2), ['first', 'liar']);
  // 3,000 tokens are six requests of the other.
  assert.ok(served.indexOf('liar', 2) >= 7, served.join(' '));
});

test('without tenants everybody waits in one line', async () => {
  await using worker = await startPatientWorker();
  await using fleet = await startTenants(worker, { apiKeys: [] });
  const responses = [chat(fleet, { user: 'first' })];
  await eventually(() => worker.held.length === 1);
  for (let turn = 1; turn <= 5; turn += 1) {
    const content = turn % 2 === 0 ? 'long '.repeat(5000) : 'short';
    responses.push(chat(fleet, { user: `turn ${turn}`, messages: [{ ...CHAT.messages[0], content }] }));
    await queued(fleet, turn);
  }
  await serveAll(fleet, worker);
  await Promise.all(responses);
  assert.deepEqual(order(worker), ['first', ...[1, 2, 3, 4, 5].map((turn) => `turn ${turn}`)]);
});
