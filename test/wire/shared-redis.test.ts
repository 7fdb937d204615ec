/** Routers that keep what they know in one server of Redis or Valkey, and what becomes of requests when it is away. */
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import type { Sharing } from '../../src/app/common-knowledge.ts';
import type { RouterOptions } from '../../src/config/load/options.ts';
import { chat, workerOf } from '../support/chat.ts';
import { eventually, startFleet, type Fleet } from '../support/fleet.ts';
import { REDIS_KINDS, type RedisKind } from '../support/redis-program.ts';
import { startRedis, type RedisServer } from '../support/redis-server.ts';

const GREEDY = { temperature: 0 };
const ONE = 'what one router does for another is the same in any number of threads';

interface Replicas {
  readonly redis: RedisServer;
  readonly first: Fleet;
  readonly second: Fleet;
}

/** All of a router's state is in its runtime, whose type names what requests use of it. */
function sharingOf({ app }: Fleet): Sharing {
  const runtime: object = app.runtime;
  assert.ok('sharing' in runtime);
  return runtime.sharing as Sharing;
}

function connected(fleet: Fleet): Promise<void> {
  return eventually(() => sharingOf(fleet).stores.links.all.every(({ isUp }) => isUp));
}

/** Two routers in front of the same simulated workers. */
async function startReplicas(
  t: TestContext,
  router: (redis: { readonly url: string }) => Omit<RouterOptions, 'workerUrls'>,
  kind: RedisKind = 'redis',
): Promise<Replicas | undefined> {
  const redis = await startRedis(t, { kind });
  if (!redis) return undefined;
  const settings = router({ url: redis.url });
  const first = await startFleet({ router: settings, oneThread: ONE });
  const urls = first.workers.map(({ url }) => url);
  const second = await startFleet({ workers: [], extraWorkerUrls: urls, router: settings, oneThread: ONE });
  t.after(async () => {
    await second.stop();
    await first.stop();
  });
  for (const fleet of [first, second]) await connected(fleet);
  return { redis, first, second };
}

const asked = ({ workers }: Fleet, path = '/v1/chat/completions'): number =>
  workers.flatMap(({ seen }) => seen).filter(({ url }) => url === path).length;

const statusOf = (response: Response): string | null => response.headers.get('x-vllm-router-cache-status');

for (const kind of REDIS_KINDS) {
  describe(`routers with one ${kind}`, () => {
    it('answer what another one has answered', async (t) => {
      const replicas = await startReplicas(t, (redis) => ({ cache: { backend: 'redis', redis } }), kind);
      if (!replicas) return;
      const { redis, first, second } = replicas;
      const body = await (await chat(first, GREEDY)).text();
      await untilKept(redis, 1);
      const again = await chat(second, GREEDY);
      assert.equal(await again.text(), body);
      assert.equal(statusOf(again), 'exact-hit');
      assert.equal(asked(first), 1);
    });

    it('lose nothing but hits while it is frozen, gone and back', async (t) => {
      const replicas = await startReplicas(
        t,
        (redis) => ({ cache: { backend: 'redis', redis: { ...redis, command_timeout_ms: 100 } } }),
        kind,
      );
      if (!replicas) return;
      const { redis, first, second } = replicas;
      let stop = false;
      let served = 0;
      const load = [first, second, first, second].map(async (fleet, client) => {
        for (let turn = 0; !stop; turn++) {
          const content = `question ${client % 2} ${turn % 7}`;
          const response = await chat(fleet, { ...GREEDY, messages: [{ role: 'user', content }] });
          assert.equal(response.status, 200);
          await response.text();
          served += 1;
        }
      });
      const some = async (): Promise<void> => {
        const from = served;
        await eventually(() => served >= from + 40);
      };
      await some();
      redis.signal('SIGSTOP');
      await some();
      redis.signal('SIGCONT');
      await some();
      await redis.kill();
      await some();
      await redis.restart();
      await connected(first);
      await some();
      stop = true;
      await Promise.all(load);
      assert.match(await first.metrics(), /^vllm_router_redis_up\{server="127.0.0.1:\d+\/0"\} 1$/m);
    });
  });
}

/** Keys that somebody has to have written by now. */
async function untilKept(redis: RedisServer, keys: number): Promise<void> {
  let size = 0;
  while (size < keys) size = Number(await redis.ask('dbsize'));
}

it('a router starts without it, and says so', async (t) => {
  const redis = await startRedis(t);
  if (!redis) return;
  await redis.kill();
  await using fleet = await startFleet({
    router: { cache: { backend: 'redis', redis: { url: redis.url } } },
    oneThread: ONE,
  });
  const response = await chat(fleet, GREEDY);
  assert.deepEqual([response.status, statusOf(response)], [200, 'miss']);
  await response.text();
  assert.match(await fleet.metrics(), /^vllm_router_redis_up\{server="[^"]*"\} 0$/m);
});

it('a prompt that is cold here goes where another router has sent one that begins alike', async (t) => {
  const replicas = await startReplicas(t, (redis) => ({
    policy: { type: 'cache_aware' },
    sharedPrefixRouting: { backend: 'redis', redis, writeProbability: 1, lookupTimeoutMs: 1000 },
  }));
  if (!replicas) return;
  const { redis, first, second } = replicas;
  for (let at = 0; at < 6; at++) {
    const content = `${at} `.repeat(400);
    const messages = [{ role: 'user', content }];
    const there = await chat(first, { messages });
    await there.text();
    await untilKept(redis, at + 1);
    const here = await chat(second, { messages: [{ role: 'user', content: `${content} more` }] });
    await here.text();
    assert.equal(workerOf(here), workerOf(there));
  }
  const metrics = await second.metrics();
  assert.match(metrics, /^vllm_router_shared_prefix_hits_total 6$/m);
  assert.match(await first.metrics(), /^vllm_router_shared_prefix_writes_total 6$/m);
  // A name that is none of the workers' is never gone to.
  for (const key of (await redis.ask('keys', '*')) as string[])
    await redis.ask('set', key, 'vr\x01\x00http://127.0.0.1:1');
  await using third = await startFleet({
    workers: [],
    extraWorkerUrls: first.workers.map(({ url }) => url),
    router: {
      policy: { type: 'cache_aware' },
      sharedPrefixRouting: { backend: 'redis', redis: { url: redis.url }, lookupTimeoutMs: 1000 },
    },
    oneThread: ONE,
  });
  await connected(third);
  const messages = [{ role: 'user', content: '1 '.repeat(400) }];
  const response = await chat(third, { messages });
  assert.equal(response.status, 200);
  await response.text();
  assert.match(await third.metrics(), /^vllm_router_shared_prefix_stale_total 1$/m);
});

it('sessions stay on the worker that another router has pinned them to', async (t) => {
  const redis = await startRedis(t);
  if (!redis) return;
  const router = {
    policy: { type: 'consistent_hash' },
    sharedState: { redis: { url: redis.url }, secret: 'between us' },
  } as const;
  await using second = await startFleet({ router, oneThread: ONE });
  const home = second.workers[0]!.url;
  // One router knows of one worker only, where all sessions are at home then.
  await using first = await startFleet({ workers: [], extraWorkerUrls: [home], router, oneThread: ONE });
  for (const fleet of [first, second]) await connected(fleet);
  const sessions = Array.from({ length: 12 }, (_, at) => ({ headers: { 'x-session-id': `session ${at}` } }));
  for (const session of sessions) await (await chat(first, {}, session)).text();
  await eventually(() => sharingOf(second).pins()?.size === sessions.length);
  for (const session of sessions) {
    const response = await chat(second, {}, session);
    await response.text();
    assert.equal(workerOf(response), home);
  }
  // A router that begins later asks for what there is.
  await using third = await startFleet({
    workers: [],
    extraWorkerUrls: second.workers.map(({ url }) => url),
    ...{ router, oneThread: ONE },
  });
  await eventually(() => sharingOf(third).pins()?.size === sessions.length);
});

it('the owner of a stored response is known to every router', async (t) => {
  const replicas = await startReplicas(t, (redis) => ({ sharedState: { redis } }));
  if (!replicas) return;
  const { first, second, redis } = replicas;
  const worker = first.workers[0]!.url;
  first.app.runtime.owners.created('resp_1', worker, 'red');
  await untilKept(redis, 1);
  await second.app.runtime.owners.lookUp('resp_1');
  assert.equal(second.app.runtime.owners.ownerOf('resp_1'), worker);
  assert.equal(second.app.runtime.owners.tenantOf('resp_1'), 'red');
  // Whoever finds it, or makes another one of that name, does not own it.
  second.app.runtime.owners.created('resp_1', worker, 'blue');
  await using third = await startFleet({
    router: { sharedState: { redis: { url: redis.url } } },
    oneThread: ONE,
  });
  await connected(third);
  await third.app.runtime.owners.lookUp('resp_1');
  assert.equal(third.app.runtime.owners.tenantOf('resp_1'), 'red');
});
