/** Several routers in front of one fleet, with a real Redis between them: they act as one, and without it each acts alone. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { RouterOptions } from '../../src/config/load/options.ts';
import { chat, readBody, streamChat } from '../support/chat.ts';
import { eventually, startFleet, type Fleet, type FleetOptions } from '../support/fleet.ts';
import { scrape } from '../support/metrics.ts';
import { startRedis, type RedisServer } from '../support/redis-server.ts';
import { serve } from '../support/serve.ts';

const WHOLE = { onlyRegular: 'loads are compared worker by worker' };
/** Streams of it last until they are cut. */
const LONG = { max_tokens: 4000, ignore_eos: true };

function sharing(redis: RedisServer, rest: Partial<RouterOptions> = {}): Partial<RouterOptions> {
  return { sharedState: { redis: { url: redis.url }, intervalMs: 10 }, ...rest };
}

/** The first one with its workers, and others that know these, too. */
async function startReplicas(
  t: TestContext,
  count: number,
  {
    workers = [{ timeScale: 1 }, { timeScale: 1 }],
    router = {},
    ...rest
  }: FleetOptions & { router?: Partial<RouterOptions> },
): Promise<readonly Fleet[]> {
  const first = await startFleet({ ...rest, ...WHOLE, workers, router });
  t.after(() => first.stop());
  const replicas = [first];
  const extraWorkerUrls = first.workers.map(({ url }) => url);
  for (let more = 1; more < count; more += 1) {
    const replica = await startFleet({ ...rest, ...WHOLE, workers: [], extraWorkerUrls, router });
    t.after(() => replica.stop());
    replicas.push(replica);
  }
  await eventually(() => replicas.every((replica) => othersOf(replica) === count - 1));
  return replicas;
}

function othersOf({ app }: Fleet): number {
  return app.replicas.others;
}

/** Requests that it knows of on the worker, its own and those of other replicas. */
function known({ app: { runtime } }: Fleet, url: string): number {
  const worker = runtime.registry.get(url);
  assert.ok(worker, url);
  return runtime.ledger.known(worker.slot);
}

const total = (fleet: Fleet, urls: readonly string[]): number =>
  urls.reduce((sum, url) => sum + known(fleet, url), 0);

/** Streams that have begun; aborting ends them. */
async function streams(
  fleet: Pick<Fleet, 'url'>,
  count: number,
  signal: AbortSignal,
): Promise<readonly Response[]> {
  return Promise.all(
    Array.from({ length: count }, (_, at) =>
      streamChat(fleet, { ...LONG, messages: [{ role: 'user', content: `stream ${at}` }] }, { signal }),
    ),
  );
}

describe('replicas', () => {
  it('know what each of them has on the workers, while it has it', async (t) => {
    const redis = await startRedis(t);
    if (!redis) return;
    const replicas = await startReplicas(t, 3, { router: sharing(redis) });
    const [a, b, c] = replicas as [Fleet, Fleet, Fleet];
    const urls = a.workers.map(({ url }) => url);
    const end = new AbortController();
    await streams(a, 3, end.signal);
    await streams(b, 2, end.signal);
    await eventually(() => replicas.every((replica) => total(replica, urls) === 5));
    assert.equal(c.app.runtime.ledger.openLeases, 0);
    assert.equal((await scrape(c)).value('vllm_router_replicas'), 3);
    end.abort();
    await eventually(() => replicas.every((replica) => total(replica, urls) === 0));
  });

  it('send a burst elsewhere than where another replica has just sent one', async (t) => {
    const redis = await startRedis(t);
    if (!redis) return;
    const [a, b] = (await startReplicas(t, 2, { router: sharing(redis) })) as [Fleet, Fleet];
    const [busy = '', idle = ''] = a.workers.map(({ url }) => url);
    // The other one takes nothing of the first replica's.
    const drained = a.app.runtime.registry.get(idle);
    assert.ok(drained);
    drained.draining = true;
    const end = new AbortController();
    await streams(a, 6, end.signal);
    await eventually(() => known(b, busy) === 6);
    for (let at = 0; at < 4; at += 1) {
      const answer = await chat(b, {
        messages: [{ role: 'user', content: `of the second ${at} ${'x '.repeat(400)}` }],
      });
      assert.equal(answer.headers.get('x-vllm-router-worker'), idle);
      await answer.text();
    }
    end.abort();
  });

  it('follow a prompt to the worker where another replica has sent its beginning', async (t) => {
    const redis = await startRedis(t);
    if (!redis) return;
    const workers = Array.from({ length: 4 }, () => ({ timeScale: 0.05 }));
    const [a, b] = (await startReplicas(t, 2, { workers, router: sharing(redis) })) as [Fleet, Fleet];
    for (let at = 0; at < 6; at += 1) {
      const beginning = `conversation ${at} ${`word${at} `.repeat(600)}`;
      const entries = (): number => b.app.runtime.cacheIndex?.entries ?? 0;
      const seen = entries();
      const first = await chat(a, { messages: [{ role: 'user', content: beginning }] });
      await first.text();
      const where = first.headers.get('x-vllm-router-worker');
      await eventually(() => entries() > seen);
      const second = await chat(b, { messages: [{ role: 'user', content: `${beginning} and on` }] });
      assert.equal(second.headers.get('x-vllm-router-worker'), where, `conversation ${at}`);
      await second.text();
    }
  });

  it('do not hear of those with another secret, and count their messages', async (t) => {
    const redis = await startRedis(t);
    if (!redis) return;
    const of = (secret: string): Partial<RouterOptions> => ({
      sharedState: { redis: { url: redis.url }, secret, intervalMs: 10 },
    });
    const [a] = (await startReplicas(t, 2, { router: of('one') })) as [Fleet];
    const stranger = await startFleet({
      workers: [],
      ...WHOLE,
      extraWorkerUrls: a.workers.map(({ url }) => url),
      router: of('two'),
    });
    t.after(() => stranger.stop());
    const end = new AbortController();
    await streams(stranger, 2, end.signal);
    const refused = async (): Promise<number> =>
      (await scrape(a)).value('vllm_router_replica_messages_total', { outcome: 'signature' });
    const deadline = performance.now() + 10_000;
    while ((await refused()) < 3 && performance.now() < deadline);
    assert.ok((await refused()) >= 3);
    assert.equal(
      total(
        a,
        a.workers.map(({ url }) => url),
      ),
      0,
    );
    assert.equal(othersOf(a), 1);
    end.abort();
  });

  it('have what one of them held when it dies without a word', async (t) => {
    const redis = await startRedis(t);
    if (!redis) return;
    const [a] = (await startReplicas(t, 1, { router: sharing(redis) })) as [Fleet];
    const urls = a.workers.map(({ url }) => url);
    const dir = mkdtempSync(join(tmpdir(), 'vllm-router-replica-'));
    t.after(() => {
      rmSync(dir, { recursive: true, force: true });
    });
    const file = join(dir, 'router.yaml');
    writeFileSync(file, `shared_state: {redis: {url: "${redis.url}"}}\n`);
    const doomed = await serve(t, ['--config-file', file, '--worker-urls', ...urls]);
    await eventually(() => othersOf(a) === 1);
    while ((await fetch(`${doomed.url}/readiness`)).status !== 200);
    const end = new AbortController();
    const open = await streams(doomed, 4, end.signal);
    await eventually(() => total(a, urls) === 4);
    process.kill(-(doomed.program.child.pid ?? 0), 'SIGKILL');
    await Promise.all(open.map((answer) => readBody(answer)));
    const from = performance.now();
    await eventually(() => total(a, urls) === 0);
    assert.ok(performance.now() - from < 5000);
    assert.equal(othersOf(a), 0);
    end.abort();
  });

  it('go on by themselves, without one failed request, while the server is frozen, gone, and back', async (t) => {
    const redis = await startRedis(t);
    if (!redis) return;
    const workers = [{ timeScale: 0.01 }, { timeScale: 0.01 }];
    const replicas = await startReplicas(t, 2, { workers, router: sharing(redis) });
    const [a, b] = replicas as [Fleet, Fleet];
    const asked = { stop: false, count: 0, failed: [] as number[] };
    const ask = async (fleet: Fleet): Promise<void> => {
      while (!asked.stop) {
        const answer = await chat(fleet, { messages: [{ role: 'user', content: `load ${asked.count}` }] });
        await answer.text();
        asked.count += 1;
        if (answer.status !== 200) asked.failed.push(answer.status);
      }
    };
    const load = Promise.all([ask(a), ask(a), ask(b), ask(b)]);
    const some = async (): Promise<void> => {
      const from = asked.count;
      await eventually(() => asked.count >= from + 50);
    };
    await some();
    redis.signal('SIGSTOP');
    await some();
    await eventually(() => a.app.replicas.heard === 0 && b.app.replicas.heard === 0);
    assert.deepEqual(
      replicas.map(othersOf),
      [1, 1],
      'who is silent while nothing gets through need not be gone',
    );
    redis.signal('SIGCONT');
    await eventually(() => a.app.replicas.heard === 1 && b.app.replicas.heard === 1);
    await redis.kill();
    await some();
    await redis.restart();
    await eventually(() => a.app.replicas.heard === 1 && b.app.replicas.heard === 1);
    await some();
    asked.stop = true;
    await load;
    assert.deepEqual(asked.failed, []);
  });
});
