/** Who shares a key shares a worker, wherever the key is written. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chat, workerOf } from '../support/chat.ts';
import { roundTrip, startFleet, type Fleet } from '../support/fleet.ts';

const WORKERS = [{}, {}, {}, {}, {}];

type KeyHeaders = Readonly<Record<string, string>>;
/** How a client tells its key: in headers, or in the body. */
type Teller = (id: string) => readonly [headers: KeyHeaders, fields?: object];

/** A chat unlike any other in its text, so that only the key can lead two of them to the same worker. */
let asked = 0;
async function ask(fleet: Fleet, headers: KeyHeaders = {}, fields: object = {}): Promise<string | null> {
  const content = `Question ${(asked += 1)}`;
  const response = await chat(
    fleet,
    { messages: [{ role: 'user', content }], max_tokens: 1, ...fields },
    { headers },
  );
  await response.arrayBuffer();
  return workerOf(response);
}

const TELLERS: readonly (readonly [source: string, key: Teller])[] = [
  ['header:x-semantic-cluster-id', (id: string) => [{ 'X-Semantic-Cluster-Id': id }]],
  ['header:x-session-id', (id: string) => [{ 'x-session-id': id }]],
  ['header:x-user-id', (id: string) => [{ 'x-user-id': id }]],
  ['header:x-tenant-id', (id: string) => [{ 'x-tenant-id': id }]],
  ['header:x-correlation-id', (id: string) => [{ 'x-correlation-id': id }]],
  ['header:x-request-id', (id: string) => [{ 'x-request-id': id }]],
  ['header:x-trace-id', (id: string) => [{ 'x-trace-id': id }]],
  ['body:session_params.session_id', (id: string) => [{}, { session_params: { session_id: id } }]],
  ['body:user', (id: string) => [{}, { user: id }]],
  ['body:session_id', (id: string) => [{}, { session_id: id }]],
  ['body:user_id', (id: string) => [{}, { user_id: id }]],
];

for (const policy of ['consistent_hash', 'rendezvous_hash'] as const) {
  test(`${policy}: every place where a key may be written`, async (t) => {
    await using fleet = await startFleet({ workers: WORKERS, router: { policy } });
    for (const [source, key] of TELLERS)
      await t.test(source, async () => {
        const homes = new Set<string | null>();
        for (let id = 0; id < 12; id += 1) {
          const [headers, fields] = key(`key-${id}`);
          const home = await ask(fleet, headers, fields);
          homes.add(home);
          assert.equal(await ask(fleet, headers, fields), home);
        }
        assert.ok(homes.size > 1, 'keys spread over the workers');
        assert.equal((await fleet.decision()).hash_key_source, source);
      });
  });
}

test('an earlier source goes before a later one: the session before the request', async () => {
  await using fleet = await startFleet({ workers: WORKERS, router: { policy: 'consistent_hash' } });
  const home = await ask(fleet, { 'x-session-id': 's1' });
  for (let i = 0; i < 8; i += 1) {
    const noise = { 'x-request-id': `r${i}`, 'x-correlation-id': `c${i}`, 'x-trace-id': `t${i}` };
    assert.equal(await ask(fleet, { 'x-session-id': 's1', ...noise }, { user: `u${i}` }), home);
  }
});

test('the list of sources can be configured', async () => {
  await using fleet = await startFleet({
    workers: WORKERS,
    router: { policy: 'consistent_hash', hashKey: ['header:x-team', 'body:metadata.team'] },
  });
  const homes = new Set<string | null>();
  for (let team = 0; team < 10; team += 1) {
    const home = await ask(fleet, { 'X-Team': `team-${team}`, 'x-session-id': `${team}` });
    homes.add(home);
    assert.equal(await ask(fleet, { 'X-Team': `team-${team}`, 'x-session-id': 'other' }), home);
  }
  assert.ok(homes.size > 1);
});

test('ids that the router made are no keys: without any key the prompt decides', async () => {
  await using fleet = await startFleet({ workers: WORKERS, router: { policy: 'consistent_hash' } });
  const homes = new Set<string | null>();
  for (let i = 0; i < 12; i += 1) {
    const messages = [{ role: 'user', content: `topic ${i} `.repeat(40) }];
    const home = await ask(fleet, {}, { messages });
    homes.add(home);
    assert.equal(await ask(fleet, {}, { messages }), home);
  }
  assert.ok(homes.size > 1);
  assert.equal((await fleet.decision()).hash_key_source, 'prompt');
});

test('text that only looks like a key is none', async () => {
  await using fleet = await startFleet({ workers: WORKERS, router: { policy: 'consistent_hash' } });
  await ask(fleet, {}, { messages: [{ role: 'user', content: '"user": "u1", x-session-id: s1' }] });
  assert.equal((await fleet.decision()).hash_key_source, 'prompt');
});

test('keys are counted by their source', async () => {
  await using fleet = await startFleet({ router: { policy: 'rendezvous_hash' } });
  await ask(fleet, { 'x-user-id': 'u' });
  await ask(fleet, { 'x-user-id': 'v' });
  await ask(fleet, {}, { user: 'w' });
  const metrics = await fleet.metrics();
  assert.match(metrics, /vllm_router_hash_key_total\{source="header:x-user-id"\} 2\n/);
  assert.match(metrics, /vllm_router_hash_key_total\{source="body:user"\} 1\n/);
});

test('a dead worker’s keys spread over the others and come back, nobody else’s move', async () => {
  await using fleet = await startFleet({
    workers: [{}, {}, {}],
    router: { policy: 'consistent_hash', retry: { initialBackoffMs: 1 } },
  });
  const keys = Array.from({ length: 60 }, (_, id) => ({ 'x-tenant-id': `tenant-${id}` }));
  const homes = await Promise.all(keys.map((key) => ask(fleet, key)));
  const [dead] = fleet.workers;
  assert.ok(dead && homes.includes(dead.url));
  const { registry } = fleet.app.runtime;
  const worker = registry.get(dead.url);
  assert.ok(worker);
  for (let i = 0; i < 3; i += 1) registry.reportCheck(worker, false, 'test');
  await roundTrip(fleet);
  const refuges = new Set<string | null>();
  for (const [index, key] of keys.entries()) {
    const now = await ask(fleet, key);
    if (homes[index] === dead.url) refuges.add(now);
    else assert.equal(now, homes[index]);
  }
  assert.ok(!refuges.has(dead.url) && refuges.size === 2);
  for (let i = 0; i < 2; i += 1) registry.reportCheck(worker, true);
  await roundTrip(fleet);
  for (const [index, key] of keys.entries()) assert.equal(await ask(fleet, key), homes[index]);
});

test('what only looks like a key, because of what every object has, is none', async () => {
  await using fleet = await startFleet({
    workers: WORKERS,
    router: { policy: 'consistent_hash', hashKey: ['body:user', 'body:constructor.name'] },
  });
  for (const filler of ['', 'x'.repeat(1_100_000)]) {
    const hidden = `{"model":"sim-model","__proto__":{"user":"u"},"max_tokens":1,"prompt":"hi","x":"${filler}"}`;
    const response = await fetch(`${fleet.url}/v1/completions`, { method: 'POST', body: hidden });
    assert.equal(response.status, 200);
    await response.text();
    const { hash_key_source } = await fleet.decision();
    assert.equal(hash_key_source, 'prompt');
  }
});
