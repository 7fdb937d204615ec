/** Providers outside of the fleet: who goes there, when, and that nobody does so without a word. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RouterOptions } from '../../src/config/load/options.ts';
import { chat, CHAT, post, readBody, streamChat } from '../support/chat.ts';
import { outside } from '../support/external.ts';
import { startFleet } from '../support/fleet.ts';
import { scrape } from '../support/metrics.ts';
import { startProvider } from '../support/provider.ts';

type Rules = NonNullable<RouterOptions['modelRules']>;

const OUT: Rules = [{ match: 'gpt-*', external: 'outside', when: 'always' }];

test('a model that a rule sends out is answered by the provider, and the answer, the record and the metrics say so', async () => {
  await using provider = await startProvider();
  await using fleet = await startFleet({
    router: { workers: [outside(provider)], modelRules: OUT },
  });
  const response = await chat(fleet, { model: 'gpt-4o-mini' });
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('x-vllm-router-external'), 'outside');
  assert.equal(response.headers.get('x-vllm-router-method'), 'external');
  assert.match(await response.text(), /from outside/);
  assert.equal(provider.last.url, '/api/v1/chat/completions');
  const record = await fleet.decision();
  assert.deepEqual(record.external, { backend: 'outside', rule: 'gpt-*' });
  assert.equal(record.method, 'external');
  assert.equal(record.reason, 'rule');
  assert.equal(record.worker, provider.url);
  assert.deepEqual([record.prompt_tokens, record.completion_tokens], [9, 2]);
  const metrics = await scrape(fleet);
  assert.equal(
    metrics.value('vllm_router_external_requests_total', { backend: 'outside', reason: 'rule' }),
    1,
  );
});

test('a model that no rule names never goes out, whatever the fleet is like', async () => {
  await using provider = await startProvider();
  await using fleet = await startFleet({
    workers: [{}],
    router: { workers: [outside(provider)], modelRules: OUT },
  });
  assert.equal((await chat(fleet)).headers.get('x-vllm-router-external'), null);
  for (const worker of fleet.app.runtime.registry.fleet) worker.draining = true;
  const refused = await chat(fleet);
  assert.equal(refused.status, 503);
  assert.equal(refused.headers.get('x-vllm-router-external'), null);
  assert.equal(provider.asked.length, 0);
});

test('a stream from outside comes as it is, with its usage', async () => {
  await using provider = await startProvider();
  await using fleet = await startFleet({
    router: { workers: [outside(provider)], modelRules: OUT },
  });
  const response = await streamChat(fleet, {
    model: 'gpt-4o-mini',
    stream_options: { include_usage: true, continuous_usage_stats: true },
  });
  assert.equal(response.headers.get('x-vllm-router-external'), 'outside');
  const { text, whole } = await readBody(response);
  assert.ok(whole);
  assert.match(text, /"completion_tokens":2/);
  assert.match(text, /data: \[DONE\]/);
  assert.deepEqual(provider.last.json['stream_options'], { include_usage: true });
  const record = await fleet.decision();
  assert.equal(record.completion_tokens, 2);
  assert.deepEqual(record.external?.removed, ['stream_options.continuous_usage_stats']);
});

test('when: unavailable leads out only while no worker can take it', async () => {
  await using provider = await startProvider();
  await using fleet = await startFleet({
    workers: [{}],
    router: {
      workers: [outside(provider, { models: { 'sim-model': 'gpt-4o-mini' } })],
      modelRules: [{ match: 'sim-*', external: 'outside' }],
    },
  });
  assert.equal((await chat(fleet)).headers.get('x-vllm-router-external'), null);
  for (const worker of fleet.app.runtime.registry.fleet) worker.draining = true;
  const out = await chat(fleet);
  assert.equal(out.status, 200);
  assert.equal(out.headers.get('x-vllm-router-external'), 'outside');
  assert.equal(provider.last.json['model'], 'gpt-4o-mini');
  assert.equal((await fleet.decision()).reason, 'unavailable');
  for (const worker of fleet.app.runtime.registry.fleet) worker.draining = false;
  assert.equal((await chat(fleet)).headers.get('x-vllm-router-external'), null);
});

test('when: saturated leads out as soon as every worker has as much as it may', async () => {
  await using provider = await startProvider();
  await using fleet = await startFleet({
    workers: [{}, {}],
    onlyRegular: 'which half is full is another test',
    router: {
      workers: [outside(provider)],
      modelRules: [{ match: 'sim-model', external: ['outside'], when: 'saturated', saturatedAt: 1 }],
    },
  });
  const { ledger, registry } = fleet.app.runtime;
  const ask = { prefillTokens: 0, kvTokens: 0, stream: true };
  const [first, second] = registry.fleet.map(({ slot }) => slot);
  const one = ledger.acquire(first ?? 0, ask);
  assert.equal((await chat(fleet)).headers.get('x-vllm-router-external'), null);
  const other = ledger.acquire(second ?? 0, ask);
  const out = await chat(fleet);
  assert.equal(out.headers.get('x-vllm-router-external'), 'outside');
  assert.equal((await fleet.decision()).reason, 'saturated');
  one.release();
  assert.equal((await chat(fleet)).headers.get('x-vllm-router-external'), null);
  other.release();
});

test('where the router itself is full, a request that may go out does not wait for its turn', async () => {
  await using provider = await startProvider();
  await using fleet = await startFleet({
    workers: [{}],
    router: {
      workers: [outside(provider)],
      modelRules: [{ match: 'sim-model', external: 'outside', when: 'saturated' }],
      maxConcurrentRequests: 1,
      queueSize: 0,
    },
  });
  const place = fleet.app.runtime.admission.enterAtOnce();
  const out = await chat(fleet);
  assert.equal(out.status, 200);
  assert.equal(out.headers.get('x-vllm-router-external'), 'outside');
  const kept = await chat(fleet, {}, { headers: { 'x-vllm-router-external': 'never' } });
  assert.equal(kept.status, 429);
  place?.release();
  assert.equal((await chat(fleet)).headers.get('x-vllm-router-external'), null);
});

test('what a provider has answered is kept for those who may be answered by it, and who would send it the same', async () => {
  await using provider = await startProvider({ models: ['sim-model'] });
  await using fleet = await startFleet({
    workers: [{}],
    router: {
      cache: { backend: 'memory' },
      workers: [outside(provider, { models: ['sim-model'], forwardHeaders: ['x-style'] })],
      modelRules: [{ match: 'sim-model', external: 'outside', when: 'always' }],
    },
  });
  const asked = async (headers: Record<string, string> = {}): Promise<(string | null)[]> => {
    const response = await chat(fleet, { temperature: 0 }, { headers });
    await response.text();
    return [
      response.headers.get('x-vllm-router-cache-status'),
      response.headers.get('x-vllm-router-external'),
    ];
  };
  assert.deepEqual(await asked(), ['miss', 'outside']);
  assert.deepEqual(await asked(), ['exact-hit', 'outside']);
  assert.deepEqual(await asked({ 'x-style': 'other' }), ['miss', 'outside']);
  assert.deepEqual(await asked({ 'openai-beta': 'other' }), ['miss', 'outside']);
  assert.deepEqual(await asked({ 'x-vllm-router-external': 'never' }), ['miss', null]);
  assert.deepEqual(await asked({ 'x-vllm-router-external': 'never' }), ['exact-hit', null]);
});

test('x-vllm-router-external: never keeps a request in the fleet; a word that nobody knows is refused', async () => {
  await using provider = await startProvider();
  await using fleet = await startFleet({
    router: { workers: [outside(provider)], modelRules: OUT },
  });
  const never = { headers: { 'x-vllm-router-external': 'never' } };
  const kept = await chat(fleet, { model: 'gpt-4o-mini' }, never);
  assert.equal(kept.status, 503);
  assert.equal(kept.headers.get('x-vllm-router-external'), null);
  assert.match(await kept.text(), /no_worker_matches/);
  const odd = await chat(fleet, { model: 'gpt-4o-mini' }, { headers: { 'x-vllm-router-external': 'nevr' } });
  assert.equal(odd.status, 400);
  assert.equal((await chat(fleet, {}, never)).status, 200);
  assert.equal(provider.asked.length, 0);
});

test('a tenant may not leave the fleet unless that is said of it', async () => {
  await using provider = await startProvider();
  await using fleet = await startFleet({
    workers: [{}],
    router: {
      workers: [outside(provider)],
      modelRules: [...OUT, { match: 'sim-model', external: 'outside' }],
      apiKeys: [
        { name: 'in', key: 'k-in' },
        { name: 'out', key: 'k-out', allowExternal: true },
      ],
    },
  });
  const as = (key: string): RequestInit => ({ headers: { authorization: `Bearer ${key}` } });
  const refused = await chat(fleet, { model: 'gpt-4o-mini' }, as('k-in'));
  assert.equal(refused.status, 403);
  assert.match(await refused.text(), /external_not_allowed/);
  assert.equal((await chat(fleet, { model: 'gpt-4o-mini' }, as('k-out'))).status, 200);
  assert.equal(provider.last.headers.authorization, 'Bearer sk-provider');
  for (const worker of fleet.app.runtime.registry.fleet) worker.draining = true;
  assert.equal((await chat(fleet, {}, as('k-in'))).status, 503);
  assert.equal((await chat(fleet, {}, as('k-out'))).status, 200);
});

test('what only the fleet has does not go out by a rule', async () => {
  await using provider = await startProvider();
  await using fleet = await startFleet({
    router: { workers: [outside(provider)], modelRules: OUT, unknownModel: 'reject' },
  });
  const response = await post(fleet, '/tokenize', { model: 'gpt-4o-mini', prompt: 'x' });
  assert.equal(response.status, 404);
  assert.equal(provider.asked.length, 0);
  // A chat of the same model is nothing unknown.
  assert.equal((await chat(fleet, { ...CHAT, model: 'gpt-4o-mini' })).status, 200);
});
