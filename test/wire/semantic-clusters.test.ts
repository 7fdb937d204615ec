/** Requests go to the workers that serve what they are about, as far as these can take them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { post } from '../support/chat.ts';
import { eventually, roundTrip, type Fleet } from '../support/fleet.ts';
import { startHook } from '../support/hook-service.ts';
import { scrape } from '../support/metrics.ts';
import { ask, ASKED, startClusterFleet, startEmbedder } from '../support/semantic.ts';

async function matches(fleet: Fleet, outcome: string): Promise<number> {
  return (await scrape(fleet)).value('vllm_router_cluster_matches_total', { outcome });
}

test('a prompt goes to a worker of the cluster that it is nearest to, and the answer, the record and the worker are told', async () => {
  await using embedder = await startEmbedder();
  await using fleet = await startClusterFleet(embedder.url);
  for (const [index, name] of (['code', 'cooking'] as const).entries()) {
    const { status, headers } = await ask(
      fleet,
      ASKED[name],
      {},
      { headers: { 'x-semantic-cluster-id': 'mine' } },
    );
    assert.equal(status, 200);
    assert.equal(headers.get('x-vllm-router-worker'), fleet.workers[index]!.url);
    assert.equal(headers.get('x-vllm-router-method'), 'cluster');
    assert.equal(headers.get('x-vllm-router-cluster'), name);
    const { method, cluster, cluster_similarity: similarity = 0, policy } = await fleet.decision();
    assert.deepEqual([method, cluster], ['cluster', name]);
    assert.ok(similarity > 0.5 && similarity < 1, String(similarity));
    assert.notEqual(policy, undefined);
    const told = fleet.workers[index]!.seen.filter(({ url }) => url.startsWith('/v1/chat')).at(-1);
    assert.equal(told?.headers['x-semantic-cluster-id'], name);
  }
  const { headers } = await ask(fleet, ASKED.neither);
  assert.deepEqual(
    [headers.get('x-vllm-router-method'), headers.get('x-vllm-router-cluster')],
    ['policy', null],
  );
  const metrics = await scrape(fleet);
  assert.equal(metrics.value('vllm_router_cluster_fallback_total', { route: '/v1/chat/completions' }), 1);
  assert.equal(
    metrics.value('vllm_router_cluster_requests_total', { cluster: 'code', worker: fleet.workers[0]!.url }),
    1,
  );
  assert.deepEqual([await matches(fleet, 'matched'), await matches(fleet, 'below_threshold')], [2, 1]);
});

test('streams, completions, messages and responses are placed by their last words, whatever the system prompt says', async () => {
  await using embedder = await startEmbedder();
  await using fleet = await startClusterFleet(embedder.url);
  const system = { role: 'system', content: ASKED.code };
  const user = { role: 'user', content: [{ type: 'text', text: ASKED.cooking }] };
  const messages = [system, { role: 'user', content: ASKED.code }, { role: 'assistant', content: 'x' }, user];
  const about: readonly (readonly [path: string, body: object])[] = [
    ['/v1/chat/completions', { messages, stream: true }],
    ['/v1/completions', { prompt: ASKED.cooking }],
    ['/v1/messages', { system: ASKED.code, messages: [{ role: 'user', content: ASKED.cooking }] }],
    ['/v1/responses', { instructions: ASKED.code, input: ASKED.cooking }],
  ];
  for (const [path, body] of about) {
    const answer = await post(fleet, path, { model: 'sim-model', max_tokens: 2, ...body });
    assert.equal(answer.status, 200, await answer.text());
    assert.equal(answer.headers.get('x-vllm-router-cluster'), 'cooking', path);
    assert.equal(answer.headers.get('x-vllm-router-worker'), fleet.workers[1]!.url, path);
  }
});

test('token ids, long bodies and routes that generate nothing ask for no vector', async () => {
  await using embedder = await startEmbedder();
  await using fleet = await startClusterFleet(embedder.url);
  const before = embedder.seen.length;
  await (
    await post(fleet, '/v1/completions', { model: 'sim-model', prompt: [1, 2, 3], max_tokens: 1 })
  ).text();
  await (await post(fleet, '/v1/embeddings', { model: 'sim-model', input: ASKED.code })).text();
  await (await post(fleet, '/tokenize', { model: 'sim-model', prompt: ASKED.code })).text();
  assert.equal(embedder.seen.length, before);
});

test('a cluster whose worker is drained falls through', async () => {
  await using embedder = await startEmbedder();
  await using fleet = await startClusterFleet(embedder.url);
  const { url } = fleet.workers[0]!;
  const drained = await post(fleet, '/admin/drain', { url, timeout_secs: 600 });
  assert.ok(drained.status < 300, await drained.text());
  await roundTrip(fleet);
  const { status, headers } = await ask(fleet, ASKED.code);
  assert.equal(status, 200);
  assert.notEqual(headers.get('x-vllm-router-worker'), url);
  assert.equal(headers.get('x-vllm-router-cluster'), null);
  const { method, cluster } = await fleet.decision();
  assert.deepEqual([method === 'cluster', cluster], [false, 'code']);
  const metrics = await scrape(fleet);
  assert.equal(metrics.value('vllm_router_cluster_fallback_total', { route: '/v1/chat/completions' }), 1);
});

test('the only worker of a cluster fails: the request is tried again on a worker of no cluster', async () => {
  await using embedder = await startEmbedder();
  await using fleet = await startClusterFleet(embedder.url);
  await fleet.workers[0]!.setFaults(['status:code=503']);
  const { status, headers } = await ask(fleet, ASKED.code);
  assert.equal(status, 200);
  assert.notEqual(headers.get('x-vllm-router-worker'), fleet.workers[0]!.url);
});

test('with several workers each gets its turn where no policy is to choose', async () => {
  await using embedder = await startEmbedder();
  await using fleet = await startClusterFleet(embedder.url, {
    ...{ known: 1, oneThread: 'each thread gives turns of its own' },
    cluster: {
      within: 'round_robin',
      clusters: [{ name: 'code', examples: [ASKED.code], workers: ['http://127.0.0.1'] }],
    },
  });
  const went: (string | null)[] = [];
  for (let at = 0; at < 6; at++)
    went.push((await ask(fleet, ASKED.code)).headers.get('x-vllm-router-worker'));
  const urls = fleet.workers.map(({ url }) => url);
  assert.deepEqual(went.slice(0, 3).toSorted(), urls.toSorted());
  assert.deepEqual(went.slice(0, 3), went.slice(3));
  assert.equal((await fleet.decision()).policy, 'round_robin');
});

test('workers of a cluster are found by their labels', async () => {
  await using embedder = await startEmbedder();
  await using fleet = await startClusterFleet(embedder.url, {
    known: 1,
    cluster: { clusters: [{ name: 'code', examples: [ASKED.code], labels: { tier: 'gold' } }] },
  });
  const { registry } = fleet.app.runtime;
  assert.equal((await ask(fleet, ASKED.code)).headers.get('x-vllm-router-cluster'), null);
  const worker = registry.get(fleet.workers[2]!.url)!;
  registry.respec(worker, {
    ...worker.spec,
    traits: { ...worker.spec.traits, labels: { ...worker.spec.traits.labels, tier: 'gold' } },
  });
  await roundTrip(fleet);
  assert.equal((await ask(fleet, ASKED.code)).headers.get('x-vllm-router-worker'), worker.id);
});

test('the vectors come from a worker of the router, where a model is named and no URL', async () => {
  await using embedder = await startEmbedder();
  await using fleet = await startClusterFleet(undefined, {
    extraWorkerUrls: [embedder.url],
  });
  const { headers } = await ask(fleet, ASKED.cooking);
  assert.equal(headers.get('x-vllm-router-worker'), fleet.workers[1]!.url);
  assert.equal(headers.get('x-vllm-router-cluster'), 'cooking');
  assert.ok(embedder.seen.some(({ url }) => url === '/v1/embeddings'));
});

test('the router starts without its embedder, says what it misses, and has clusters when it is there', async () => {
  await using embedder = await startEmbedder();
  let isUp = false;
  await using proxy = await startHook(async ({ body }, response) => {
    if (isUp)
      return fetch(`${embedder.url}/v1/embeddings`, {
        method: 'POST',
        body: new Uint8Array(body),
        headers: { 'content-type': 'application/json' },
      }).then((answer) => answer.json() as Promise<object>);
    response.writeHead(503).end();
    return undefined;
  });
  await using fleet = await startClusterFleet(proxy.url.replace('/check', '/v1'), { known: 0 });
  const { headers, status } = await ask(fleet, ASKED.code);
  assert.deepEqual([status, headers.get('x-vllm-router-method')], [200, 'policy']);
  assert.equal(await matches(fleet, 'no_clusters'), 1);
  isUp = true;
  await eventually(() => fleet.app.runtime.semantic.clusters.centroids.length === 2, 20_000);
  await roundTrip(fleet);
  assert.equal((await ask(fleet, ASKED.code)).headers.get('x-vllm-router-cluster'), 'code');
});

test('a dry run says which cluster a request would go to', async () => {
  await using embedder = await startEmbedder();
  await using fleet = await startClusterFleet(embedder.url);
  const said = await post(fleet, '/admin/explain', {
    path: '/v1/chat/completions',
    body: { model: 'sim-model', messages: [{ role: 'user', content: ASKED.code }] },
  });
  const { worker, method, cluster, candidates } = (await said.json()) as Record<string, unknown>;
  assert.deepEqual([worker, method, cluster], [fleet.workers[0]!.url, 'cluster', 'code']);
  const states = (candidates as { worker: string; state: string }[]).map(({ state }) => state);
  assert.equal(states.filter((state) => state === 'other_cluster').length, 2);
});
