/** A policy that a plugin brings: it chooses, and whatever it does the request is served. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { definePlugin, definePolicy, type Choice, type Plugin, type PolicyPlugin } from '../../src/index.ts';
import { silentLog, type Log } from '../../src/observe/log.ts';
import { adminOf } from '../support/admin.ts';
import { CHAT, chat, readBody, streamChat, workerOf } from '../support/chat.ts';
import { answering, LEGS } from '../support/fleet-shape.ts';
import { eventually, startFleet } from '../support/fleet.ts';
import { scrape } from '../support/metrics.ts';
import { examplePlugin } from '../support/plugins.ts';

/** A plugin with the one policy `mine`. */
function mine(policy: PolicyPlugin): Plugin {
  return definePlugin({ apiVersion: 1, policies: { mine: policy } });
}

const LAST: PolicyPlugin = {
  create: () => ({
    choose: (_ask, pool): Choice => ({ kind: 'chosen', index: pool.mask.lastIndexOf(0), reason: 'last' }),
  }),
};

test('a stream goes where the plugin says, and the record and the metrics say so', async () => {
  await using fleet = await startFleet({
    workers: [{}, {}, {}],
    router: {
      plugins: [await examplePlugin('least-recently-used')],
      policy: { type: 'least_recently_used' },
    },
  });
  const workers = [];
  for (let i = 0; i < 6; i += 1) {
    const response = await streamChat(fleet);
    assert.equal(response.headers.get('x-vllm-router-policy'), 'least_recently_used');
    assert.ok((await readBody(response)).text.endsWith('data: [DONE]\n\n'));
    workers.push(workerOf(response));
  }
  assert.equal(new Set(workers.slice(0, 3)).size, 3);
  assert.deepEqual(workers.slice(3), workers.slice(0, 3));
  const decision = await fleet.decision();
  assert.deepEqual(
    [
      decision.policy,
      decision.method,
      decision.reason,
      decision.policy_fallback,
      decision.candidates?.length,
    ],
    ['least_recently_used', 'policy', 'least_recently_used', undefined, 3],
  );
  assert.equal(
    (await scrape(fleet)).sum('vllm_router_policy_decisions_total', { policy: 'least_recently_used' }),
    6 * LEGS,
  );
});

test('a worker that fails is replaced by the next one that the plugin says', async () => {
  await using fleet = await startFleet({
    workers: [{}, {}],
    router: { plugins: [mine(LAST)], policy: { type: 'mine' }, retry: { initialBackoffMs: 1 } },
  });
  await fleet.workers[1]?.setFaults(['close']);
  const response = await chat(fleet);
  assert.deepEqual([response.status, workerOf(response)], [200, fleet.workers[0]?.url]);
  const decision = await fleet.decision();
  assert.deepEqual([answering(decision).length, decision.policy], [2, 'mine']);
});

test('where the plugin throws, its fallback decides; it is counted, told once and on record', async () => {
  const lines: object[] = [];
  const log: Log = { ...silentLog, warn: (fields, message) => lines.push({ ...fields, message }) };
  const throwing = mine({
    create: () => ({
      choose: () => {
        throw new Error('out of order');
      },
    }),
  });
  await using fleet = await startFleet({
    log,
    router: { plugins: [throwing], policy: { type: 'mine', fallback: 'round_robin' } },
  });
  for (let i = 0; i < 3; i += 1) {
    const response = await chat(fleet);
    assert.equal(response.status, 200);
    assert.equal(response.headers.get('x-vllm-router-policy'), 'round_robin');
    await response.text();
  }
  const { policy, reason, policy_fallback } = await fleet.decision();
  assert.deepEqual(
    [policy, reason, policy_fallback],
    ['round_robin', 'next_in_turn', { from: 'mine', cause: 'threw' }],
  );
  const metrics = await scrape(fleet);
  assert.equal(
    metrics.value('vllm_router_plugin_failures_total', { plugin: 'mine', kind: 'threw' }),
    3 * LEGS,
  );
  const told = lines.filter((line) => 'plugin' in line);
  assert.equal(told.length, 1);
  assert.match(JSON.stringify(told), /"kind":"threw","reason":"choose threw".*its fallback decided/);
});

test('a plugin that holds the process up three times is not asked any more', async () => {
  let asked = 0;
  const slow = mine({
    create: () => ({
      choose: () => {
        asked += 1;
        const until = performance.now() + 6;
        while (performance.now() < until);
        return { kind: 'chosen', index: 0, reason: 'slow' };
      },
    }),
  });
  await using fleet = await startFleet({
    router: { plugins: [slow], policy: { type: 'mine', overrunMs: 5, fallback: 'random' } },
    onlyRegular:
      'both workers of a pair are chosen by the plugin, so that its third overrun comes with the second request',
  });
  const policies = [];
  for (let i = 0; i < 5; i += 1) {
    const response = await chat(fleet);
    policies.push(response.headers.get('x-vllm-router-policy'));
    await response.text();
  }
  assert.deepEqual(policies, ['mine', 'mine', 'mine', 'random', 'random']);
  assert.equal(asked, 3);
  assert.deepEqual((await fleet.decision()).policy_fallback, { from: 'mine', cause: 'overrun' });
  const metrics = await scrape(fleet);
  assert.equal(metrics.value('vllm_router_plugin_failures_total', { plugin: 'mine', kind: 'overrun' }), 3);
});

/** The service of the example: says which worker holds a session, or nothing at all. */
async function startDirectory(owner: (session: string) => string | undefined) {
  const asked: string[] = [];
  let dropped = 0;
  const server = createServer((request, response) => {
    const session = new URL(request.url ?? '', 'http://x').searchParams.get('session') ?? '';
    asked.push(session);
    response.once('close', () => (dropped += response.writableFinished ? 0 : 1));
    const worker = owner(session);
    if (worker !== undefined) response.end(JSON.stringify({ worker }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/owner`,
    asked,
    dropped: () => dropped,
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

/** Where requests go through pairs the policies of both halves look up as well, beside that of whole requests. */
const LOOK_UPS = LEGS === 1 ? 1 : 3;

test('what the plugin looks up is waited for, once for all attempts', async () => {
  let owner = '';
  await using directory = await startDirectory(() => owner);
  await using fleet = await startFleet({
    workers: [{}, {}, {}],
    router: {
      plugins: [await examplePlugin('session-directory')],
      policy: { type: 'session_directory', url: directory.url, timeoutMs: 5_000 },
      retry: { initialBackoffMs: 1 },
    },
  });
  owner = fleet.workers[2]?.url ?? '';
  const headers = { 'x-session-id': 'somebody' };
  const response = await streamChat(fleet, {}, { headers });
  assert.deepEqual([workerOf(response), (await readBody(response)).whole], [owner, true]);
  const { reason, prepare_ms } = await fleet.decision();
  assert.equal(reason, 'owner');
  assert.ok(prepare_ms !== undefined && prepare_ms > 0);
  await fleet.workers[2]?.setFaults(['close']);
  const retried = await chat(fleet, {}, { headers });
  assert.deepEqual([retried.status, workerOf(retried) === owner], [200, false]);
  assert.deepEqual(directory.asked, Array(2 * LOOK_UPS).fill('somebody'));
});

test('a look-up that takes too long is cut, and the fallback decides', async () => {
  await using directory = await startDirectory(() => undefined);
  await using fleet = await startFleet({
    router: {
      plugins: [await examplePlugin('session-directory')],
      policy: { type: 'session_directory', url: directory.url, timeoutMs: 100, fallback: 'round_robin' },
    },
  });
  const response = await chat(fleet);
  assert.deepEqual([response.status, response.headers.get('x-vllm-router-policy')], [200, 'round_robin']);
  await response.text();
  const { policy_fallback, prepare_ms = 0, overhead_ms = 0 } = await fleet.decision();
  assert.deepEqual(policy_fallback, { from: 'session_directory', cause: 'timeout' });
  assert.ok(prepare_ms >= 99, `${prepare_ms} ms`);
  assert.ok(overhead_ms < 29, `${overhead_ms} ms`);
  await eventually(() => directory.dropped() === LOOK_UPS);
  const metrics = await scrape(fleet);
  const labels = { plugin: 'session_directory', kind: 'timeout' };
  assert.equal(metrics.value('vllm_router_plugin_failures_total', labels), LOOK_UPS);
});

test('a client that leaves ends the look-up, and is no failure of the plugin', async () => {
  await using directory = await startDirectory(() => undefined);
  await using fleet = await startFleet({
    router: {
      plugins: [await examplePlugin('session-directory')],
      policy: { type: 'session_directory', url: directory.url, timeoutMs: 60_000 },
    },
  });
  const gone = new AbortController();
  const leaving = chat(fleet, {}, { signal: gone.signal });
  await eventually(() => directory.asked.length === LOOK_UPS);
  gone.abort();
  await assert.rejects(leaving);
  await eventually(() => directory.dropped() === LOOK_UPS);
  assert.deepEqual(
    [(await fleet.decision()).status, (await fleet.decision()).outcome],
    [499, 'client_abort'],
  );
  assert.equal((await scrape(fleet)).sum('vllm_router_plugin_failures_total'), 0);
  assert.ok(fleet.workers.every(({ seen }) => seen.every(({ method }) => method === 'GET')));
});

test("the request's own deadline ends the look-up", async () => {
  await using directory = await startDirectory(() => undefined);
  await using fleet = await startFleet({
    router: {
      plugins: [await examplePlugin('session-directory')],
      policy: { type: 'session_directory', url: directory.url, timeoutMs: 60_000 },
      requestTimeoutSecs: 0.1,
    },
  });
  assert.equal((await chat(fleet)).status, 504);
  await eventually(() => directory.dropped() === LOOK_UPS);
});

test('a dry run asks the plugin, its look-up included, and a switch puts it in charge', async () => {
  let owner = '';
  await using directory = await startDirectory(() => owner);
  await using fleet = await startFleet({
    workers: [{}, {}],
    router: { plugins: [await examplePlugin('session-directory'), mine(LAST)], policy: 'random' },
  });
  owner = fleet.workers[1]?.url ?? '';
  const admin = adminOf(fleet);
  const policy = { type: 'session_directory', url: directory.url, timeout_ms: 5_000 };
  const request = { path: '/v1/chat/completions', body: CHAT };
  const explained = await admin('POST', '/admin/explain', { ...request, policy });
  assert.deepEqual(
    [explained.status, explained.body.worker, explained.body.policy, explained.body.reason],
    [200, owner, 'session_directory', 'owner'],
  );
  const fallback = await admin('POST', '/admin/explain', {
    ...request,
    policy: { ...policy, url: `${directory.url}-\u0000`, fallback: 'least_work' },
  });
  assert.equal(fallback.status, 200);

  const switched = await admin('PUT', '/admin/policy', '"mine"');
  assert.deepEqual([switched.status, switched.body.changed, switched.body.policy.type], [200, true, 'mine']);
  assert.equal(workerOf(await chat(fleet)), fleet.workers[1]?.url);
  assert.equal((await admin('PUT', '/admin/policy', '"mine"')).body.changed, false);
  assert.equal((await admin('GET', '/admin/config')).body.policy.type, 'mine');
  for (const [body, path] of [
    ['"miney"', 'type'],
    [{ ...policy, url: 'nowhere' }, 'url'],
    [{ ...policy, timeout_ms: -1 }, 'timeout_ms'],
    [{ ...policy, fallback: 'mine' }, 'fallback'],
    [{ type: 'mine', speed: 1 }, 'speed'],
  ] as const) {
    const refused = await admin('PUT', '/admin/policy', body);
    assert.deepEqual(
      [refused.status, refused.body.fields?.[0]?.path],
      [400, path],
      JSON.stringify(refused.body),
    );
  }
});

test('an answer that cannot be used in a dry run says who would have decided', async () => {
  const nonsense = mine(definePolicy({ create: () => ({ choose: () => 'me' as unknown as Choice }) }));
  await using fleet = await startFleet({
    router: { plugins: [nonsense], policy: { type: 'mine', fallback: 'round_robin' } },
  });
  const { body } = await adminOf(fleet)('POST', '/admin/explain', {
    path: '/v1/chat/completions',
    body: CHAT,
  });
  assert.deepEqual([body.policy, body.policy_fallback], ['round_robin', { from: 'mine', cause: 'invalid' }]);
  assert.equal((await scrape(fleet)).sum('vllm_router_plugin_failures_total'), 0);
});
