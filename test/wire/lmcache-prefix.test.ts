/** Requests go where LMCache stores their beginning, as its controller says. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { post, workerOf } from '../support/chat.ts';
import { eventually, type Fleet } from '../support/fleet.ts';
import { about, longPrompt, lookups, startLmcacheFleet, warm } from '../support/lmcache.ts';
import { LMCACHE_APIS } from '../../src/sim/lmcache/lmcache-routes.ts';

async function ask(fleet: Fleet, content: string): Promise<Response> {
  const answer = await post(fleet, '/v1/chat/completions', about(content));
  assert.equal(answer.status, 200);
  await answer.text();
  return answer;
}

const OF_ITS_OWN =
  'what is predicted is of the worker that computes prompts, and here of the one that stores them';

for (const api of LMCACHE_APIS) {
  test(`a prompt goes to the worker that stores it: ${api}`, async () => {
    await using fleet = await startLmcacheFleet({ lmcache: { api }, onlyRegular: OF_ITS_OWN });
    const prompt = longPrompt(api);
    await warm(fleet, 1, prompt);
    const answer = await ask(fleet, prompt);
    assert.equal(workerOf(answer), fleet.workers[1]!.url);
    assert.equal(answer.headers.get('x-vllm-router-method'), 'lmcache-prefix');
    const { method, reason, policy, cache_source: source, candidates, ...record } = await fleet.decision();
    assert.deepEqual(
      [method, reason, policy, source],
      ['lmcache-prefix', 'longest_prefix', 'lmcache_aware', 'lmcache'],
    );
    const matched = candidates?.map(({ worker, matched_tokens: tokens }) => [worker, tokens] as const);
    const expected = fleet.workers.map(({ url }, index) => [url, index === 1 ? 1280 : 0] as const);
    assert.deepEqual(new Map(matched), new Map(expected));
    assert.equal(record.predicted_cached_tokens, 1280);
    assert.ok((record.actual_cached_tokens ?? 0) >= 1280);
    assert.equal(await lookups(fleet, 'hit'), 1);
  });
}

test('a prompt that nobody stores goes by how much each stores, and a short one is not looked up', async () => {
  await using fleet = await startLmcacheFleet({ router: { lmcache: { pollIntervalSecs: 0.05 } } });
  await warm(fleet, 2, longPrompt('something else'));
  await eventually(() => (fleet.app.runtime.lmcache.chunks()?.get(slotOf(fleet, 2)) ?? 0) > 0);
  assert.equal(workerOf(await ask(fleet, longPrompt('this'))), fleet.workers[2]!.url);
  const { method, reason } = await fleet.decision();
  assert.deepEqual([method, reason], ['policy', 'occupancy']);
  await ask(fleet, 'Hello.');
  assert.deepEqual([await lookups(fleet, 'miss'), await lookups(fleet, 'short')], [1, 1]);
  assert.equal(fleet.lmcache!.seen.filter((line) => line === 'POST /lookup').length, 1);
});

test('the worker that stores most is passed over where its queue is longer than that saves, or where it is not to be had', async () => {
  await using fleet = await startLmcacheFleet();
  const prompt = longPrompt('queues');
  await warm(fleet, 1, prompt);
  const held = fleet.app.runtime.ledger.acquire(slotOf(fleet, 1), {
    ...{ prefillTokens: 100_000, kvTokens: 0, stream: true },
  });
  const passed = await ask(fleet, prompt);
  held.release();
  assert.notEqual(workerOf(passed), fleet.workers[1]!.url);
  assert.equal(passed.headers.get('x-vllm-router-method'), 'policy');
  assert.equal((await fleet.decision()).reason, 'affinity_bounded');
  await fleet.workers[1]!.setFaults(['status:code=503']);
  const elsewhere = await ask(fleet, prompt);
  assert.notEqual(workerOf(elsewhere), fleet.workers[1]!.url);
});

test('policies that look at caches learn from the controller, too', async () => {
  await using fleet = await startLmcacheFleet({
    router: { policy: 'least_work' },
    onlyRegular: OF_ITS_OWN,
  });
  const prompt = longPrompt('least work');
  await warm(fleet, 2, prompt);
  assert.equal(workerOf(await ask(fleet, prompt)), fleet.workers[2]!.url);
  const { method, cache_source: source, predicted_cached_tokens: predicted } = await fleet.decision();
  assert.deepEqual([method, source, predicted], ['policy', 'lmcache', 1280]);
});

test('a policy that is told to go by predictions alone does not have the controller asked', async () => {
  const policy = { type: 'least_work', cacheKnowledge: 'predicted' } as const;
  await using fleet = await startLmcacheFleet({
    router: { policy },
    onlyRegular: 'what pairs cost is reckoned by what LMCache stores, whatever the policy',
  });
  await warm(fleet, 2, longPrompt('predictions'));
  await ask(fleet, longPrompt('predictions'));
  assert.ok(!fleet.lmcache!.seen.includes('POST /lookup'));
  assert.equal((await fleet.decision()).cache_source, 'predicted');
});

test('two threads look prompts up by themselves, and share what control has asked', async () => {
  await using fleet = await startLmcacheFleet({ router: { threads: 2 } });
  const prompts = Array.from({ length: 12 }, (_, index) => longPrompt(`thread ${index}`));
  for (const [index, prompt] of prompts.entries()) await warm(fleet, index % 3, prompt);
  const went = await Promise.all(prompts.map(async (prompt) => workerOf(await ask(fleet, prompt))));
  assert.deepEqual(
    went,
    prompts.map((_, index) => fleet.workers[index % 3]!.url),
  );
  assert.equal(fleet.lmcache!.seen.filter((line) => line.startsWith('GET')).length, 1);
});

test('a key is presented to whoever stands in front of the controller', async () => {
  await using fleet = await startLmcacheFleet({
    lmcache: { apiKey: 'sk-lmcache' },
    router: { lmcache: { controllerApiKey: 'sk-lmcache' } },
  });
  await warm(fleet, 0, longPrompt('keys'));
  assert.equal(workerOf(await ask(fleet, longPrompt('keys'))), fleet.workers[0]!.url);
});

function slotOf({ app, workers }: Fleet, index: number): number {
  return app.runtime.registry.get(workers[index]!.url)!.slot;
}
