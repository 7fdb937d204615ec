/** The policy is switched and asked what it would do while requests are under way. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { adminOf, type Parsed } from '../support/admin.ts';
import { CHAT, chat, workerOf } from '../support/chat.ts';
import { OWN_POLICY } from '../support/fleet-shape.ts';
import { eventually, startFleet, type Fleet } from '../support/fleet.ts';
import { startRouter, startScriptedWorker } from '../support/scripted-worker.ts';

const explained = (fields: object = {}) => ({ path: '/v1/chat/completions', body: { ...CHAT, ...fields } });

async function policyOf(fleet: Fleet, id: string): Promise<string | undefined> {
  await (await chat(fleet, {}, { headers: { 'x-request-id': id } })).text();
  return (await fleet.decision(({ request_id }) => request_id === id)).policy;
}

test('new requests get the new policy', async () => {
  await using fleet = await startFleet({ workers: [{}, {}] });
  const admin = adminOf(fleet);
  assert.equal(await policyOf(fleet, 'a'), OWN_POLICY);
  const switched = await admin('PUT', '/admin/policy', { type: 'consistent_hash', virtual_nodes: 20 });
  assert.deepEqual([switched.status, switched.body.changed], [200, true]);
  assert.deepEqual([switched.body.policy.type, switched.body.policy.virtual_nodes], ['consistent_hash', 20]);
  assert.equal(switched.body.previous.type, 'least_work');
  assert.equal(await policyOf(fleet, 'b'), 'consistent_hash');
  assert.deepEqual((await admin('GET', '/admin/config')).body.policy, switched.body.policy);
  assert.equal((await admin('GET', '/workers')).body.workers[0].policy, 'consistent_hash');
  assert.equal((await admin('GET', '/admin/stats')).body.policies.default, 'consistent_hash');
  const again = await admin('PUT', '/admin/policy', { type: 'consistent_hash', virtual_nodes: 20 });
  assert.deepEqual([again.status, again.body.changed], [200, false]);
});

test('a request keeps the policy that it began with, over all its attempts', async () => {
  const answers: (() => void)[] = [];
  await using slow = await startScriptedWorker((response) => {
    answers.push(() => response.writeHead(503).end('{}'));
  });
  await using other = await startScriptedWorker((response) => {
    answers.push(() => response.writeHead(200, { 'content-type': 'application/json' }).end('{}'));
  });
  await using fleet = await startRouter([slow, other], {
    router: { policy: 'round_robin', retry: { initialBackoffMs: 1 } },
  });
  const first = chat(fleet);
  await eventually(() => answers.length === 1);
  await adminOf(fleet)('PUT', '/admin/policy', '"least_work"');
  answers.shift()?.();
  await eventually(() => answers.length === 1);
  answers.shift()?.();
  assert.equal((await first).status, 200);
  const decision = await fleet.decision();
  assert.deepEqual([decision.policy, decision.attempts.length], ['round_robin', 2]);
});

test('the predicted index lives on where both policies look at it, and goes where nobody does', async () => {
  await using fleet = await startFleet({
    workers: [{}],
    onlyRegular: 'what pairs cost is reckoned by the index, whatever the policy',
  });
  const admin = adminOf(fleet);
  const { runtime } = fleet.app;
  await (await chat(fleet, { messages: [{ role: 'user', content: 'long '.repeat(200) }] })).text();
  const entries = (): number | undefined => runtime.cacheIndex?.entries;
  const index = runtime.cacheIndex;
  assert.ok((entries() ?? 0) > 0);
  await admin('PUT', '/admin/policy', '"cache_aware"');
  assert.equal(runtime.cacheIndex, index);
  await admin('PUT', '/admin/policy', '"random"');
  assert.equal(entries(), undefined);
  assert.equal((await chat(fleet)).status, 200);
  await admin('PUT', '/admin/policy', '"cache_aware"');
  assert.equal(entries(), 0);
});

test('no request fails while the policy is switched again and again', async () => {
  await using fleet = await startFleet({ workers: [{ timeScale: 0 }, { timeScale: 0 }, { timeScale: 0 }] });
  const admin = adminOf(fleet);
  let running = true;
  const statuses: number[] = [];
  const load = Array.from({ length: 8 }, async () => {
    while (running) {
      const response = await chat(fleet);
      await response.text();
      statuses.push(response.status);
    }
  });
  for (let round = 0; round < 5; round += 1) {
    for (const name of [
      'random',
      'round_robin',
      'power_of_two',
      'consistent_hash',
      'rendezvous_hash',
      'least_work',
      'cache_aware',
    ])
      assert.equal((await admin('PUT', '/admin/policy', `"${name}"`)).body.changed, true, name);
  }
  running = false;
  await Promise.all(load);
  assert.ok(statuses.length > 30);
  assert.ok(statuses.every((status) => status === 200));
});

test('what is wrong with a policy is said, and changes nothing', async () => {
  await using fleet = await startFleet({ workers: [] });
  const admin = adminOf(fleet);
  for (const [body, path] of [
    ['"fastest"', 'type'],
    [{ cache_threshold: 0.5 }, 'type'],
    [{ type: 'cache_aware', cache_threshold: 'high' }, 'cache_threshold'],
    [{ type: 'cache_aware', theta: 0.5 }, 'theta'],
    [{ type: 'cache_aware', max_tree_size: 5 }, 'max_tree_size'],
    [{ type: 'power_of_two', load_check_interval_secs: 5 }, 'load_check_interval_secs'],
    ['7', ''],
    ['', ''],
  ] as const) {
    const answer = await admin('PUT', '/admin/policy', body);
    assert.deepEqual([answer.status, answer.body.fields?.[0]?.path], [400, path], JSON.stringify(body));
  }
  assert.equal(fleet.app.runtime.policies.default.name, 'least_work');
});

test('a dry run tells the whole choice and leaves nothing behind', async () => {
  await using fleet = await startFleet({
    workers: Array.from({ length: 12 }, () => ({})),
    router: { policy: 'round_robin' },
  });
  const admin = adminOf(fleet);
  const { runtime } = fleet.app;
  const before = { ledger: runtime.ledger.openLeases, decisions: runtime.decisions.total };
  const answers = [];
  for (let i = 0; i < 3; i += 1) answers.push((await admin('POST', '/admin/explain', explained())).body);
  for (const answer of answers) assert.deepEqual(answer, answers[0]);
  const [answer] = answers;
  assert.deepEqual(
    [answer.outcome, answer.policy, answer.reason, answer.model, answer.route],
    ['routed', 'round_robin', 'next_in_turn', 'sim-model', '/v1/chat/completions'],
  );
  assert.equal(answer.candidates.length, 12);
  assert.ok(answer.candidates.every(({ state, running }: Parsed) => state === 'eligible' && running === 0));
  assert.deepEqual({ ledger: runtime.ledger.openLeases, decisions: runtime.decisions.total }, before);
  assert.ok(
    fleet.workers.every(
      ({ counts, seen }) => counts.request === seen.filter(({ method }) => method === 'GET').length,
    ),
  );
  // And the real request gets just that worker.
  assert.equal(workerOf(await chat(fleet)), answer.worker);
});

test('a dry run sees the real loads and caches, for any policy', async () => {
  await using fleet = await startFleet({ workers: [{}, {}] });
  const admin = adminOf(fleet);
  const messages = [{ role: 'user', content: 'the same long prompt '.repeat(100) }];
  const warm = workerOf(await chat(fleet, { messages }));
  const entries = fleet.app.runtime.cacheIndex?.entries;
  const own = (await admin('POST', '/admin/explain', explained({ messages }))).body;
  assert.deepEqual([own.worker, own.reason, own.cache_source], [warm, OWN_POLICY, 'predicted']);
  assert.ok(own.predicted_cached_tokens > 400 && own.prompt_tokens >= own.predicted_cached_tokens);
  const other = (await admin('POST', '/admin/explain', { ...explained({ messages }), policy: 'cache_aware' }))
    .body;
  assert.deepEqual([other.worker, other.policy, other.reason], [warm, 'cache_aware', 'warmest']);
  assert.ok(other.margin > 0);
  const keyed = await admin('POST', '/admin/explain', {
    ...explained(),
    headers: { 'X-Session-Id': 's-1' },
    policy: { type: 'consistent_hash', virtual_nodes: 10 },
  });
  assert.deepEqual([keyed.body.reason, keyed.body.hash_key_source], ['ring_owner', 'header:x-session-id']);
  assert.equal(fleet.app.runtime.cacheIndex?.entries, entries);
  assert.equal(fleet.app.runtime.policies.default.name, 'least_work');
});

test('a dry run says what would be refused and why', async () => {
  await using fleet = await startFleet({
    workers: [{}, {}],
    router: { unknownModel: 'reject', modelRules: [{ match: 'other', rewrite: 'sim-model' }] },
  });
  const admin = adminOf(fleet);
  const [first] = fleet.workers;
  const explain = async (body: object): Promise<Parsed> => (await admin('POST', '/admin/explain', body)).body;
  const cases: readonly (readonly [object, string, string | undefined])[] = [
    [{ path: '/health', method: 'GET' }, 'answered_by_router', undefined],
    [{ path: '/health' }, 'rejected', 'method_not_allowed'],
    [{ path: '/%61dmin/stats' }, 'rejected', 'route_not_found'],
    [{ path: '/sleep' }, 'rejected', 'route_not_found'],
    [{ path: '/../x' }, 'rejected', 'invalid_request'],
    [{ path: '/v1/chat/completions', body: '{"model":' }, 'rejected', 'invalid_json'],
    [explained({ model: 'nobody-has-it' }), 'rejected', 'model_not_found'],
    [{ path: '/anything/else', method: 'GET' }, 'routed', undefined],
  ];
  for (const [body, outcome, code] of cases) {
    const answer = await explain(body);
    assert.deepEqual([answer.outcome, answer.error?.code], [outcome, code], JSON.stringify(body));
  }
  for (const { url } of fleet.workers) fleet.app.runtime.registry.get(url)!.draining = true;
  const none = await explain(explained());
  assert.deepEqual(
    [none.outcome, none.error.code, none.error.status],
    ['rejected', 'no_worker_available', 503],
  );
  assert.deepEqual(none.candidates.map(({ worker, state }: Parsed) => [worker, state])[0], [
    first?.url,
    'draining',
  ]);
  for (const [body, path] of [
    [{}, 'path'],
    [{ path: 'v1' }, 'path'],
    [{ path: '/x', policy: 'nope' }, 'policy.type'],
    [{ path: '/x', headers: { a: 1 } }, 'headers.a'],
  ] as const) {
    const answer = await admin('POST', '/admin/explain', body);
    assert.deepEqual([answer.status, answer.body.fields[0].path], [400, path]);
  }
});
