/** Limits of tenants over several routers, with a real Redis between them: exact, and a share each while it is away. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { RouterOptions } from '../../src/config/load/options.ts';
import { chat, readBody, streamChat } from '../support/chat.ts';
import { eventually, startFleet, type Fleet } from '../support/fleet.ts';
import { startRedis, type RedisServer } from '../support/redis-server.ts';
import { serve } from '../support/serve.ts';

type ApiKeys = NonNullable<RouterOptions['apiKeys']>;

const AS_TENANT = { headers: { authorization: 'Bearer its-key' } };
const LONG = { max_tokens: 4000, ignore_eos: true };

function sharing(redis: RedisServer, tenant: Partial<ApiKeys[number]>): Partial<RouterOptions> {
  return {
    sharedState: { redis: { url: redis.url }, intervalMs: 10 },
    apiKeys: [{ name: 'its', key: 'its-key', rateLimitRps: 1000, ...tenant }],
  };
}

async function startReplicas(
  t: TestContext,
  count: number,
  redis: RedisServer,
  tenant: Partial<ApiKeys[number]>,
): Promise<readonly Fleet[]> {
  const onlyRegular = 'limits are the same in every shape';
  const router = sharing(redis, tenant);
  const first = await startFleet({ onlyRegular, router, workers: [{ timeScale: 1, outputTokens: 4 }] });
  t.after(() => first.stop());
  const replicas = [first];
  for (let more = 1; more < count; more += 1) {
    const extraWorkerUrls = first.workers.map(({ url }) => url);
    const replica = await startFleet({ onlyRegular, router, workers: [], extraWorkerUrls });
    t.after(() => replica.stop());
    replicas.push(replica);
  }
  await eventually(() => replicas.every(({ app }) => app.replicas.others === count - 1 && app.sharesLimits));
  return replicas;
}

/** The statuses of so many requests at once to each of them. */
async function statuses(replicas: readonly Fleet[], each: number): Promise<Map<number, number>> {
  const counts = new Map<number, number>();
  await Promise.all(
    replicas.flatMap((replica) =>
      Array.from({ length: each }, async () => {
        const answer = await chat(replica, {}, AS_TENANT);
        await answer.text();
        counts.set(answer.status, (counts.get(answer.status) ?? 0) + 1);
      }),
    ),
  );
  return counts;
}

describe('limits of a tenant over replicas', () => {
  it('hold for requests at a time, to the last one, and places come back', async (t) => {
    const redis = await startRedis(t);
    if (!redis) return;
    const replicas = await startReplicas(t, 3, redis, { maxConcurrent: 7 });
    const end = new AbortController();
    const init = { ...AS_TENANT, signal: end.signal };
    const answers = await Promise.all(
      replicas.flatMap((one) => [1, 2, 3, 4].map(() => streamChat(one, LONG, init))),
    );
    const inside = answers.filter(({ status }) => status === 200);
    const refused = answers.filter(({ status }) => status === 429);
    assert.deepEqual([inside.length, refused.length], [7, 5]);
    for (const answer of refused) assert.match(await answer.text(), /concurrency_exceeded/);
    end.abort();
    await eventually(() => replicas.every(({ app }) => app.runtime.admission.inFlight === 0));
    const left = async (): Promise<number> => Number(await redis.ask('ZCARD', 'vllm-router:tenant:{its}:in'));
    while ((await left()) > 0);
    assert.equal((await statuses(replicas, 2)).get(200), 6);
  });

  it('hold for requests per second: never more than the burst and what comes back meanwhile', async (t) => {
    const redis = await startRedis(t);
    if (!redis) return;
    const replicas = await startReplicas(t, 3, redis, { rateLimitRps: 20, maxConcurrent: 1000 });
    const from = performance.now();
    const counts = await statuses(replicas, 20);
    const secs = (performance.now() - from) / 1000;
    const passed = counts.get(200) ?? 0;
    assert.ok(passed >= 20 && passed <= 20 + 20 * secs + 1, `${passed} in ${secs} s`);
    assert.equal(passed + (counts.get(429) ?? 0), 60);
  });

  it('hold for tokens per minute, and give back what was not taken', async (t) => {
    const redis = await startRedis(t);
    if (!redis) return;
    const replicas = await startReplicas(t, 2, redis, { tokensPerMinute: 3000, maxConcurrent: 1000 });
    const ask = async (fleet: Fleet): Promise<number> => {
      const answer = await chat(fleet, { max_tokens: 1000 }, AS_TENANT);
      await answer.text();
      return answer.status;
    };
    const together = await Promise.all([...replicas, ...replicas].map(ask));
    assert.equal(together.filter((status) => status === 200).length, 2, 'each reserves a little over 1,000');
    const tokens = async (): Promise<number> =>
      Number(await redis.ask('HGET', 'vllm-router:tenant:{its}', 't'));
    const reserved = await tokens();
    // Four tokens were answered each time: the rest comes back with the next settlement.
    while ((await tokens()) > reserved - 10_000 && (await tokens()) > Date.now() + 20_000);
    assert.equal(await ask(replicas[1] ?? assert.fail()), 200);
  });

  it('have the places of a replica back within seconds when it dies', async (t) => {
    const redis = await startRedis(t);
    if (!redis) return;
    const [a] = (await startReplicas(t, 1, redis, { maxConcurrent: 3 })) as [Fleet];
    const dir = mkdtempSync(join(tmpdir(), 'vllm-router-replica-'));
    t.after(() => rmSync(dir, { recursive: true, force: true }));
    const file = join(dir, 'router.yaml');
    writeFileSync(
      file,
      `shared_state: {redis: {url: "${redis.url}"}}\napi_keys: [{name: its, key: its-key, rate_limit_rps: 1000, max_concurrent: 3}]\n`,
    );
    const doomed = await serve(t, [
      '--config-file',
      file,
      '--worker-urls',
      ...a.workers.map(({ url }) => url),
    ]);
    await eventually(() => a.app.replicas.heard === 1);
    while ((await fetch(`${doomed.url}/readiness`)).status !== 200);
    const end = new AbortController();
    const open = await Promise.all(
      [1, 2, 3].map(() => streamChat(doomed, LONG, { ...AS_TENANT, signal: end.signal })),
    );
    assert.deepEqual(
      open.map(({ status }) => status),
      [200, 200, 200],
    );
    assert.equal((await statuses([a], 1)).get(429), 1);
    // Longer than a lease lasts by itself: it is renewed.
    const endOfFirst = async (): Promise<number> => {
      const list = await redis.ask('ZRANGE', 'vllm-router:tenant:{its}:in', 0, 0, 'WITHSCORES');
      return Number(Array.isArray(list) ? list[1] : NaN);
    };
    const first = await endOfFirst();
    while ((await endOfFirst()) < first + 4500);
    assert.equal((await statuses([a], 1)).get(429), 1);
    process.kill(-(doomed.program.child.pid ?? 0), 'SIGKILL');
    await Promise.all(open.map((answer) => readBody(answer)));
    const from = performance.now();
    while ((await statuses([a], 1)).get(200) !== 1) assert.ok(performance.now() - from < 6000);
    end.abort();
  });

  it('are a share for each while the server is away, and no request fails for that', async (t) => {
    const redis = await startRedis(t);
    if (!redis) return;
    const replicas = await startReplicas(t, 2, redis, { rateLimitRps: 10_000, maxConcurrent: 8 });
    redis.signal('SIGSTOP');
    assert.equal((await statuses(replicas, 1)).get(200), 2);
    await eventually(() => replicas.every(({ app }) => !app.sharesLimits));
    const [a] = replicas as [Fleet];
    await eventually(() => a.app.runtime.clients.tenants.named('its')?.requestLevel().limit === 5000);
    const end = new AbortController();
    const init = { ...AS_TENANT, signal: end.signal };
    const answers = await Promise.all([1, 2, 3, 4, 5, 6].map(() => streamChat(a, LONG, init)));
    assert.deepEqual(
      answers.map(({ status }) => status).sort((one, other) => one - other),
      [200, 200, 200, 200, 429, 429],
    );
    end.abort();
    redis.signal('SIGCONT');
    await eventually(() => replicas.every(({ app }) => app.sharesLimits));
    await eventually(() => a.app.runtime.clients.tenants.named('its')?.requestLevel().limit === 10_000);
    assert.equal((await statuses(replicas, 2)).get(200), 4);
  });
});
