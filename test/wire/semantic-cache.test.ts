/** Who asks the same in other words gets the answer that was given before, and nobody else does. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { post } from '../support/chat.ts';
import { eventually, roundTrip, startFleet, type Fleet, type FleetOptions } from '../support/fleet.ts';
import { startHook } from '../support/hook-service.ts';
import { scrape } from '../support/metrics.ts';
import { startEmbedder } from '../support/semantic.ts';

const FIRST = 'What is the capital of France, and how many people live there today?';
const AGAIN = 'what is the capital of france and how many people live there TODAY';
const NEAR = 'What is the capital of France, and how many cats live there today?';
const OTHER = 'Which rivers flow through the old town of Prague?';

async function startCached(embeddingsUrl: string, { router, ...options }: FleetOptions = {}): Promise<Fleet> {
  const semanticCache = { embeddingsUrl, embeddingsModel: 'sim-embedder', embeddingTimeoutMs: 5000 };
  const fleet = await startFleet({
    ...options,
    router: { ...router, semanticCache: { ...semanticCache, ...router?.semanticCache } },
  });
  // Until the thread that compares has been loaded nothing is found.
  const vector = Float32Array.of(1);
  const { answers } = fleet.app.runtime.answersByMeaning!;
  answers.keep('the first', vector, Buffer.from('x'));
  let tries = 0;
  while (!(await answers.find('the first', vector))) assert.ok(++tries < 100, 'the thread is not there');
  await (
    await post(fleet, '/admin/cache/flush', { all: true }, { headers: { 'x-admin-key': 'sk-admin' } })
  ).text();
  return fleet;
}

async function ask(fleet: Fleet, content: string, more: object = {}, headers: Record<string, string> = {}) {
  const body = {
    model: 'sim-model',
    max_tokens: 4,
    temperature: 0,
    messages: [{ role: 'user', content }],
    ...more,
  };
  const answer = await post(fleet, '/v1/chat/completions', body, { headers });
  const text = await answer.text();
  assert.equal(answer.status, 200, text);
  await roundTrip(fleet);
  return {
    text,
    status: answer.headers.get('x-vllm-router-cache-status'),
    method: answer.headers.get('x-vllm-router-method'),
    similarity: answer.headers.get('x-vllm-router-cache-similarity'),
    worker: answer.headers.get('x-vllm-router-worker'),
  };
}

const asked = ({ all }: Fleet): number =>
  all.flatMap(({ seen }) => seen).filter(({ url }) => url.startsWith('/v1/chat')).length;

test('the same in other words is answered from what was answered before, in either form, and the record says how near it was', async () => {
  await using embedder = await startEmbedder();
  await using fleet = await startCached(embedder.url);
  const first = await ask(fleet, FIRST);
  assert.deepEqual([first.status, first.similarity], ['miss', null]);
  const before = asked(fleet);
  const again = await ask(fleet, AGAIN);
  assert.equal(asked(fleet), before);
  assert.deepEqual([again.status, again.method, again.worker], ['semantic-hit', 'semantic-hit', null]);
  assert.match(again.similarity ?? '', /^1\.000000$/);
  assert.deepEqual(JSON.parse(again.text), JSON.parse(first.text));
  const { method, cache_status: status, cache_similarity: similarity, attempts } = await fleet.decision();
  assert.deepEqual([method, status, similarity, attempts], ['semantic-hit', 'semantic-hit', 1, []]);
  const streamed = await ask(fleet, AGAIN, { stream: true });
  assert.equal(streamed.status, 'semantic-hit');
  assert.match(streamed.text, /^data: \{/);
  assert.match(streamed.text, /data: \[DONE\]\n\n$/);
  const metrics = await scrape(fleet);
  assert.equal(metrics.value('vllm_router_cache_hits_total', {}), 2);
  assert.equal(metrics.value('vllm_router_cache_similarity_count', {}), 2);
  assert.equal(metrics.value('vllm_router_semantic_cache_entries', {}), 1);
});

test('what a stream brought is found, too', async () => {
  await using embedder = await startEmbedder();
  await using fleet = await startCached(embedder.url);
  await ask(fleet, FIRST, { stream: true });
  const again = await ask(fleet, AGAIN);
  assert.equal(again.status, 'semantic-hit');
  assert.match(again.text, /"object":"chat\.completion"/);
});

test('what means something else, or is asked otherwise, is asked of a worker', async () => {
  await using embedder = await startEmbedder();
  await using fleet = await startCached(embedder.url, { workers: [{ models: ['sim-model', 'other'] }] });
  await ask(fleet, FIRST);
  const system = { role: 'system', content: 'Be brief.' };
  for (const [what, content, more] of [
    ['another question', OTHER, {}],
    ['one that is not near enough', NEAR, {}],
    ['another model', AGAIN, { model: 'other' }],
    ['another length', AGAIN, { max_tokens: 5 }],
    ['tools', AGAIN, { tools: [{ type: 'function', function: { name: 'f', parameters: {} } }] }],
    ['a system prompt', '', { messages: [system, { role: 'user', content: AGAIN }] }],
    [
      'a last message that is not the user',
      '',
      {
        messages: [
          { role: 'user', content: AGAIN },
          { role: 'assistant', content: 'It' },
        ],
      },
    ],
  ] as const)
    assert.notEqual((await ask(fleet, content, more)).status, 'semantic-hit', what);
  assert.equal((await ask(fleet, AGAIN, { user: 'somebody', stream: false })).status, 'semantic-hit');
});

test('a lower threshold takes what is less near', async () => {
  await using embedder = await startEmbedder();
  await using fleet = await startCached(embedder.url, { router: { semanticCache: { threshold: 0.8 } } });
  await ask(fleet, FIRST);
  const near = await ask(fleet, NEAR);
  assert.equal(near.status, 'semantic-hit');
  assert.ok(Number(near.similarity) > 0.8 && Number(near.similarity) < 1, near.similarity ?? '');
});

test('tenants do not get what others have caused', async () => {
  await using embedder = await startEmbedder();
  const apiKeys = ['one', 'two'].map((name) => ({ name, key: `sk-${name}` }));
  await using fleet = await startCached(embedder.url, { router: { apiKeys, adminApiKey: 'sk-admin' } });
  const by = (name: string): Record<string, string> => ({ authorization: `Bearer sk-${name}` });
  await ask(fleet, FIRST, {}, by('one'));
  assert.equal((await ask(fleet, AGAIN, {}, by('two'))).status, 'miss');
  assert.equal((await ask(fleet, AGAIN, {}, by('one'))).status, 'semantic-hit');
});

test('nothing sampled is kept, and a client has the last word', async () => {
  await using embedder = await startEmbedder();
  await using fleet = await startCached(embedder.url);
  await ask(fleet, FIRST, { temperature: 0.7 });
  assert.equal((await ask(fleet, AGAIN, { temperature: 0.7 })).status, 'bypass');
  await ask(fleet, FIRST, {}, { 'cache-control': 'no-store' });
  assert.equal((await ask(fleet, AGAIN)).status, 'miss');
  assert.equal((await ask(fleet, AGAIN, {}, { 'x-vllm-router-cache': 'off' })).status, 'bypass');
  assert.equal((await ask(fleet, FIRST, {}, { 'cache-control': 'no-cache' })).status, 'miss');
  assert.equal((await ask(fleet, FIRST)).status, 'semantic-hit');
});

test('the exact cache is asked first, and each answer is kept by both', async () => {
  await using embedder = await startEmbedder();
  await using fleet = await startCached(embedder.url, { router: { cache: { ttlSecs: 60 } } });
  await ask(fleet, FIRST);
  const vectors = embedder.seen.length;
  assert.equal((await ask(fleet, FIRST)).status, 'exact-hit');
  assert.equal(embedder.seen.length, vectors);
  assert.equal((await ask(fleet, AGAIN)).status, 'semantic-hit');
});

test('a request has one vector made, for its cluster, too', async () => {
  await using embedder = await startEmbedder();
  await using fleet = await startCached(embedder.url, {
    router: {
      semanticCluster: {
        threshold: 0.1,
        clusters: [{ name: 'all', examples: [FIRST], workers: ['http://127.0.0.1'] }],
      },
    },
  });
  await eventually(() => fleet.app.runtime.semantic.clusters.centroids.length === 1);
  await roundTrip(fleet);
  const before = embedder.seen.length;
  assert.equal((await ask(fleet, FIRST)).method, 'cluster');
  assert.equal(embedder.seen.length, before + 1);
});

test('an embedder that is down, slow or talks nonsense costs no request its answer', async () => {
  let say: 'error' | 'nothing' | 'garbage' | 'nan' = 'error';
  await using service = await startHook((_request, response) => {
    if (say === 'nothing') return undefined;
    if (say === 'error') response.writeHead(500).end();
    else if (say === 'garbage') response.writeHead(200).end('<html>'.repeat(300_000));
    else return { data: [{ embedding: [1, null] }] };
    return undefined;
  });
  const url = service.url.replace('/check', '/v1');
  await using fleet = await startCached(url, {
    router: { semanticCache: { embeddingTimeoutMs: 100 }, disableCircuitBreaker: true },
  });
  for (say of ['error', 'nothing', 'garbage', 'nan'] as const)
    assert.equal((await ask(fleet, FIRST)).status, 'miss');
  const metrics = await scrape(fleet);
  for (const outcome of ['error', 'timeout', 'too_large', 'unusable'])
    assert.equal(metrics.value('vllm_router_embeddings_total', { outcome }), 1, outcome);
  assert.equal(metrics.value('vllm_router_semantic_cache_unasked_total', { reason: 'no_vector' }), 4);
  service.cut();
});

test('an embedder with another model in mid-life: what was kept is forgotten, and the new vectors count', async () => {
  let dimensions = 8;
  await using service = await startHook(() => ({
    data: [{ embedding: Array.from({ length: dimensions }, () => 1) }],
  }));
  await using fleet = await startCached(service.url.replace('/check', '/v1'), {
    oneThread: 'each thread finds out by itself',
  });
  await ask(fleet, FIRST);
  assert.equal((await ask(fleet, AGAIN)).status, 'semantic-hit');
  dimensions = 12;
  for (const expected of ['miss', 'miss', 'miss', 'semantic-hit'])
    assert.equal((await ask(fleet, AGAIN)).status, expected);
});

test('an operator empties it, and long texts are not compared', async () => {
  await using embedder = await startEmbedder();
  await using fleet = await startCached(embedder.url, { router: { semanticCache: { maxChars: 100 } } });
  await ask(fleet, FIRST);
  const flushed = await post(fleet, '/admin/cache/flush', { model: 'sim-model' });
  assert.deepEqual(await flushed.json(), { flushed: 1 });
  assert.equal((await ask(fleet, AGAIN)).status, 'miss');
  await ask(fleet, FIRST.repeat(3));
  assert.equal(
    (await scrape(fleet)).value('vllm_router_semantic_cache_unasked_total', { reason: 'too_long' }),
    1,
  );
});
