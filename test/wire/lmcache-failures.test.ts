/** Whatever LMCache's controller does, requests are served, and none waits longer for it than it may. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { post, workerOf } from '../support/chat.ts';
import { eventually, type Fleet } from '../support/fleet.ts';
import { about, longPrompt, lookups, startLmcacheFleet, warm } from '../support/lmcache.ts';
import type { LmcacheFaultKind } from '../../src/sim/lmcache/lmcache-faults.ts';
import { scrape } from '../support/metrics.ts';

async function ask(fleet: Fleet, content: string): Promise<Response> {
  const answer = await post(fleet, '/v1/chat/completions', about(content));
  assert.equal(answer.status, 200);
  await answer.text();
  return answer;
}

function fail(fleet: Fleet, kind: LmcacheFaultKind | undefined, delayMs = 0): void {
  fleet.lmcache!.fault = kind && { kind, delayMs };
}

for (const kind of ['hang', 'error', 'garbage', 'lies'] as const) {
  test(`a controller that does not do what it should (${kind}): the fallback or occupancy chooses`, async () => {
    await using fleet = await startLmcacheFleet({ router: { lmcache: { lookupTimeoutMs: 60 } } });
    await warm(fleet, 1, longPrompt(kind));
    fail(fleet, kind);
    await ask(fleet, longPrompt(kind));
    const { method, prepare_ms: waited = 0, policy_fallback: fallback } = await fleet.decision();
    assert.equal(method, 'policy');
    assert.ok(waited < 1000, `${waited} ms`);
    // Who stores how much was known before, but nobody stored anything then.
    assert.deepEqual(fallback, { from: 'lmcache_aware', cause: 'no_knowledge' });
    const outcome = { hang: 'timeout', error: 'error', garbage: 'error', lies: 'unmapped' }[kind];
    assert.equal(await lookups(fleet, outcome), 1);
    if (kind === 'lies')
      assert.equal((await scrape(fleet)).value('vllm_router_lmcache_unread_entries_total'), 3);
  });
}

test('after failures in a row it is left alone, and comes back', async () => {
  const lmcache = { circuitBreaker: { failureThreshold: 2, timeoutDurationSecs: 0.2 } };
  await using fleet = await startLmcacheFleet({ router: { lmcache }, oneThread: 'its breaker is its own' });
  await warm(fleet, 1, longPrompt('breaker'));
  fail(fleet, 'error');
  for (let i = 0; i < 4; i++) await ask(fleet, longPrompt('breaker'));
  assert.deepEqual([await lookups(fleet, 'error'), await lookups(fleet, 'circuit_open')], [2, 2]);
  const state = async (): Promise<number> => (await scrape(fleet)).value('vllm_router_lmcache_cb_state');
  assert.equal(await state(), 1);
  fail(fleet, undefined);
  let worker: string | null = null;
  for (let i = 0; i < 500 && worker === null; i++) {
    const answer = await ask(fleet, longPrompt('breaker'));
    if (answer.headers.get('x-vllm-router-method') === 'lmcache-prefix') worker = workerOf(answer);
  }
  assert.equal(worker, fleet.workers[1]!.url);
  assert.equal(await state(), 0);
});

test('a controller that is down at the start is found when it comes', async () => {
  await using fleet = await startLmcacheFleet({
    lmcache: { fault: { kind: 'error', delayMs: 0 } },
    router: { lmcache: { pollIntervalSecs: 0.05 } },
  });
  await ask(fleet, longPrompt('late'));
  assert.equal(await lookups(fleet, 'unavailable'), 1);
  fail(fleet, undefined);
  await eventually(() => fleet.app.runtime.lmcache.instances.mapped === fleet.all.length);
  await warm(fleet, 1, longPrompt('late and warm'));
  assert.equal(workerOf(await ask(fleet, longPrompt('late and warm'))), fleet.workers[1]!.url);
});

test('a client that leaves meanwhile is not waited for, and counts as nothing', async () => {
  await using fleet = await startLmcacheFleet({ router: { lmcache: { lookupTimeoutMs: 1900 } } });
  fail(fleet, 'hang');
  const client = new AbortController();
  const answer = post(fleet, '/v1/chat/completions', about(longPrompt('gone')), { signal: client.signal });
  await eventually(() => fleet.lmcache!.seen.includes('POST /lookup'));
  client.abort();
  await assert.rejects(answer);
  const { status, outcome } = await fleet.decision(({ outcome: end }) => end === 'client_abort');
  assert.deepEqual([status, outcome], [499, 'client_abort']);
  assert.equal(await lookups(fleet, 'timeout'), 0);
});

test('a reload that changes nothing keeps what is known of it', async () => {
  await using fleet = await startLmcacheFleet({ reloadable: true });
  await warm(fleet, 1, longPrompt('reload'));
  const outcome = await fleet.app.reload({ who: 'signal', dryRun: false });
  assert.equal(outcome.kind, 'done');
  assert.equal(workerOf(await ask(fleet, longPrompt('reload'))), fleet.workers[1]!.url);
});
