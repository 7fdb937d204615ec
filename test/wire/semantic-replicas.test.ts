/** What one router was answered, its replicas answer to who asks the same in other words; without Redis each has its own. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { post } from '../support/chat.ts';
import { startFleet, type Fleet } from '../support/fleet.ts';
import { startRedis } from '../support/redis-server.ts';
import { startEmbedder } from '../support/semantic.ts';

const FIRST = 'What is the capital of France, and how many people live there today?';
const AGAIN = 'what is the capital of france and how many people live there TODAY';

async function ask(fleet: Fleet, content: string): Promise<string | null> {
  const messages = [{ role: 'user', content }];
  const body = { model: 'sim-model', max_tokens: 4, temperature: 0, messages };
  const answer = await post(fleet, '/v1/chat/completions', body);
  assert.equal(answer.status, 200, await answer.text());
  return answer.headers.get('x-vllm-router-cache-status');
}

async function start(t: TestContext, embeddingsUrl: string, url: string, secret: string): Promise<Fleet> {
  const fleet = await startFleet({
    workers: [{}],
    router: {
      semanticCache: {
        embeddingsUrl,
        embeddingsModel: 'sim-embedder',
        embeddingTimeoutMs: 5000,
        redis: { url },
      },
      sharedState: { redis: { url }, secret },
    },
  });
  t.after(() => fleet.stop());
  return fleet;
}

/** Resolves when a series of it has this value. */
async function shows(fleet: Fleet, series: string, value: number): Promise<void> {
  const line = new RegExp(`^vllm_router_${series}(?:\\{.*\\})? ${value}$`, 'm');
  for (let tries = 0; tries < 200; tries += 1) {
    if (line.test(await fleet.metrics())) return;
    await pause(50);
  }
  assert.fail(`${series} is not ${value}`);
}

const has = (fleet: Fleet, count: number): Promise<void> => shows(fleet, 'semantic_cache_entries', count);

/** Resolves when the thread that compares has been loaded: until then nothing is found. */
async function compares(fleet: Fleet): Promise<void> {
  const answered = /semantic_cache_lookups_total\{outcome="miss"\} [1-9]/;
  for (let tries = 0; tries < 100; tries += 1) {
    await fleet.app.runtime.answersByMeaning?.answers.find('nothing', new Float32Array(384));
    if (answered.test(await fleet.metrics())) return;
  }
  assert.fail('the thread is not there');
}

test('replicas find what one of them keeps, also one that comes later; an operator empties all; an outage costs nothing', async (t) => {
  const redis = await startRedis(t);
  if (!redis) return;
  await using embedder = await startEmbedder();
  const [one, two] = [
    await start(t, embedder.url, redis.url, 's'),
    await start(t, embedder.url, redis.url, 's'),
  ];
  const stranger = await start(t, embedder.url, redis.url, 'another');
  for (const router of [one, two, stranger]) await shows(router, 'redis_up', 1);
  assert.equal(await ask(one, FIRST), 'miss');
  await has(two, 1);
  await compares(two);
  assert.equal(await ask(two, AGAIN), 'semantic-hit');
  const later = await start(t, embedder.url, redis.url, 's');
  await has(later, 1);
  await compares(later);
  assert.equal(await ask(later, AGAIN), 'semantic-hit');
  assert.equal(await ask(stranger, AGAIN), 'miss');
  const [, keys] = (await redis.ask('SCAN', '0', 'MATCH', 'vllm-router:sem:*', 'COUNT', 1000)) as [
    string,
    string[],
  ];
  assert.equal(keys.length, 2);
  const flushed = await post(one, '/admin/cache/flush', { all: true });
  assert.deepEqual(await flushed.json(), { flushed: 1 });
  await has(two, 0);
  assert.equal(await ask(two, AGAIN), 'miss');
  redis.signal('SIGSTOP');
  assert.equal(await ask(one, AGAIN.replace('France', 'Spain')), 'miss');
  assert.equal(await ask(one, AGAIN.replace('France', 'Spain')), 'semantic-hit');
  redis.signal('SIGCONT');
});
