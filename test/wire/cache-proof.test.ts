/** Whether what is known of a worker's cache is true is found out, told once, and shown. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../src/base/virtual-clock.ts';
import { adminOf } from '../support/admin.ts';
import { chat } from '../support/chat.ts';
import { advanceUntil, eventually, startFleet, type Fleet } from '../support/fleet.ts';
import { scrape } from '../support/metrics.ts';

const QUESTION = 'Tell me all that you know of prefix caches. '.repeat(40);
const ROUTER = {
  policy: 'least_work',
  loadCheckIntervalSecs: 5,
  // No check is late, however far the clock jumps.
  healthCheck: { checkIntervalSecs: 2_000_000, timeoutSecs: 1_000 },
} as const;

async function ask(fleet: Fleet, times: number): Promise<void> {
  for (let time = 0; time < times; time++) {
    const response = await chat(fleet, { messages: [{ role: 'user', content: QUESTION }] });
    await response.text();
  }
}

/** The worker that computes the prompts. */
function computing({ all }: Fleet): string {
  return all[0]!.url;
}

/** Lets time go by until the worker has a verdict. */
async function judged(fleet: Fleet, clock: VirtualClock) {
  const admin = adminOf(fleet);
  const proof = async () => (await admin('GET', '/workers')).body.workers[0].cache_proof;
  let latest = await proof();
  for (let look = 0; look < 10 && latest.verdict === 'unknown'; look++) {
    await ask(fleet, 25);
    clock.advance(10_000);
    latest = await proof();
  }
  return latest;
}

test('a worker whose answers say what is expected is well', async () => {
  const clock = new VirtualClock();
  await using fleet = await startFleet({ workers: [{}], clock, router: ROUTER });
  const proof = await judged(fleet, clock);
  assert.deepEqual([proof.verdict, proof.remedy], ['ok', null]);
  const { answers, actual_hit_share: actual, error_share: error } = proof.by_source.predicted;
  assert.ok(answers >= 20 && actual > 0.8 && error < 0.1, JSON.stringify(proof));
  const metrics = await scrape(fleet);
  const worker = computing(fleet);
  assert.equal(metrics.value('vllm_router_cache_verdict', { worker, verdict: 'ok' }), 1);
  assert.equal(metrics.value('vllm_router_cache_verdict', { worker, verdict: 'unknown' }), 0);
  const labels = { worker, model: 'sim-model', source: 'predicted' };
  const tokens = (kind: string): number =>
    metrics.value('vllm_router_cache_accuracy_tokens_total', { ...labels, kind }) ?? 0;
  assert.ok(tokens('actual') > 0.8 * tokens('prompt'));
  const { body } = await adminOf(fleet)('GET', '/admin/stats');
  assert.equal(body.cache_proof[worker].verdict, 'ok');
  const ofModel = body.cache_proof_by_model['sim-model'].predicted;
  assert.equal(ofModel.prompt_tokens, tokens('prompt'));
  assert.ok(ofModel.actual_hit_share > 0.8 && ofModel.error_share < 0.1, JSON.stringify(ofModel));
});

test('one that keeps no prefixes says so, and nothing is expected of it', async () => {
  const clock = new VirtualClock();
  await using fleet = await startFleet({
    workers: [{ model: { prefixCaching: false } }],
    clock,
    router: ROUTER,
  });
  await advanceUntil(
    clock,
    100,
    eventually(() => fleet.app.runtime.registry.workers[0]?.cacheConfig?.prefixCaching === false),
  );
  const proof = await judged(fleet, clock);
  assert.equal(proof.verdict, 'prefix_caching_off');
  assert.match(proof.remedy, /prefix caching/);
  const { predicted_cached_tokens: predicted } = await fleet.decision();
  assert.equal(predicted, 0);
});
