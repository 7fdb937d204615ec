/** Answers on a server of Redis: routers share them, and a server that is away costs no request. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { adminOf } from '../support/admin.ts';
import { chat, CHAT } from '../support/chat.ts';
import { eventually, startFleet, type Fleet, type FleetOptions } from '../support/fleet.ts';
import { startRedis, type RedisServer } from '../support/redis-server.ts';

const GREEDY = { temperature: 0 };
const COMMAND_MS = 200;

const statusOf = (response: Response): string | null => response.headers.get('x-vllm-router-cache-status');

function withRedis({ url }: RedisServer, more: FleetOptions = {}): Promise<Fleet> {
  const redis = { url, commandTimeoutMs: COMMAND_MS, connectionTimeoutMs: 1000 };
  return startFleet({ ...more, router: { cache: { backend: 'redis', redis }, ...more.router } });
}

async function answerOf(fleet: Fleet, fields: object = {}): Promise<string | null> {
  const response = await chat(fleet, { ...GREEDY, ...fields });
  assert.equal(response.status, 200);
  await response.text();
  return statusOf(response);
}

/** Asks until it is answered like that: what is kept is kept a moment later. */
async function untilAnswered(fleet: Fleet, expected: string): Promise<void> {
  const until = Date.now() + 10_000;
  while ((await answerOf(fleet)) !== expected) assert.ok(Date.now() < until, `never ${expected}`);
}

test('what one router was answered another one has', async (t) => {
  const server = await startRedis(t);
  if (!server) return;
  await using one = await withRedis(server);
  await using other = await withRedis(server, { router: { adminApiKey: 'root', threads: 2 } });
  await untilAnswered(one, 'exact-hit');
  assert.equal(await answerOf(other), 'exact-hit');
  const response = await fetch(`${other.url}/admin/cache/flush`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-admin-key': 'root' },
    body: JSON.stringify({ model: CHAT.model }),
  });
  assert.deepEqual(await response.json(), { flushed: 1 });
  assert.equal(await answerOf(one), 'miss');
});

test('a flush says when answers may be left on a server that is away', async (t) => {
  const server = await startRedis(t);
  if (!server) return;
  await using fleet = await withRedis(server, { router: { adminApiKey: 'root' } });
  await untilAnswered(fleet, 'exact-hit');
  await server.kill();
  const response = await fetch(`${fleet.url}/admin/cache/flush`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-admin-key': 'root' },
    body: JSON.stringify({ all: true }),
  });
  assert.equal(response.status, 503);
  const { code, flushed } = (await response.json()) as Readonly<Record<string, unknown>>;
  assert.deepEqual({ code, flushed }, { code: 'FLUSH_INCOMPLETE', flushed: 0 });
});

test('what is no answer of a router is a miss', async (t) => {
  const server = await startRedis(t);
  if (!server) return;
  await using fleet = await withRedis(server);
  await untilAnswered(fleet, 'exact-hit');
  const [key] = (await server.ask('KEYS', '*')) as string[];
  assert.ok(key);
  for (const poison of ['x', 'x'.repeat(20_000_000), '']) {
    await server.ask('SET', key, poison);
    assert.equal(await answerOf(fleet), 'miss');
    await untilAnswered(fleet, 'exact-hit');
  }
  assert.match(await fleet.metrics(), /^vllm_router_cache_rejected_total\{reason="huge"\} 1$/m);
});

for (const threads of [1, 2])
  test(`a server that freezes, dies and comes back costs no request (${threads} threads)`, async (t) => {
    const server = await startRedis(t);
    if (!server) return;
    await using fleet = await withRedis(server, { router: { threads } });
    await untilAnswered(fleet, 'exact-hit');
    let sent = 0;
    let stop = false;
    const waits: number[] = [];
    const client = async (): Promise<void> => {
      while (!stop) {
        const from = performance.now();
        await answerOf(fleet, { max_tokens: 1 + (sent++ % 7) });
        waits.push(performance.now() - from);
      }
    };
    const clients = Promise.all(Array.from({ length: 8 }, client));
    const more = async (count: number): Promise<void> => {
      const until = sent + count;
      await eventually(() => sent >= until);
    };
    await more(50);
    server.signal('SIGSTOP');
    await more(200);
    const frozen = waits.splice(0);
    server.signal('SIGCONT');
    await untilAnswered(fleet, 'exact-hit');
    await server.kill();
    await more(200);
    await server.restart();
    await untilAnswered(fleet, 'exact-hit');
    stop = true;
    await clients;
    // Those under way when it froze, and those that found out that it still is.
    assert.ok(frozen.filter((ms) => ms > COMMAND_MS).length < frozen.length / 2, String(frozen));
  });

test('a router starts while its server is away', async (t) => {
  const server = await startRedis(t);
  if (!server) return;
  await server.kill();
  await using fleet = await withRedis(server, { router: { adminApiKey: 'root' } });
  const seen = async (): Promise<unknown> => (await adminOf(fleet, 'root')('GET', '/admin/stats')).body.redis;
  const name = `127.0.0.1:${server.port}/0`;
  assert.deepEqual(await seen(), [{ server: name, up: false, takes_writes: false }]);
  assert.equal(await answerOf(fleet), 'miss');
  await server.restart();
  await untilAnswered(fleet, 'exact-hit');
  assert.deepEqual(await seen(), [{ server: name, up: true, takes_writes: true }]);
});
