/** What a scrape says after requests whose course is known. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chat, post, streamChat } from '../support/chat.ts';
import { eventually, startFleet } from '../support/fleet.ts';
import { scrape } from '../support/metrics.ts';

const ROUTE = '/v1/chat/completions';
const USAGE = { stream_options: { include_usage: true } };

test('a stream feeds first-token time, inter-token time and tokens', async () => {
  await using fleet = await startFleet({ workers: [{ timeScale: 1 }] });
  const text = await (await streamChat(fleet, { max_tokens: 20, ...USAGE })).text();
  const { prompt_tokens: prompt, total_ms: total, ttft_ms: ttft } = await fleet.decision();
  const metrics = await scrape(fleet);
  const model = { model: 'sim-model' };
  assert.equal(metrics.value('vllm_router_time_to_first_token_seconds_count', model), 1);
  const firstToken = metrics.value('vllm_router_time_to_first_token_seconds_sum', model);
  assert.ok(Math.abs(firstToken - ttft! / 1000) < 1e-6);

  // One event opens the stream; pauses come before each of the others, as they arrived.
  const pauses = metrics.value('vllm_router_inter_token_latency_seconds_count', model);
  const events = text.split('\n\n').length - 1;
  assert.ok(pauses > 5 && pauses < events, `${pauses} pauses, ${events} events`);
  // 20 steps of 6.35 ms.
  const pausing = metrics.value('vllm_router_inter_token_latency_seconds_sum', model);
  assert.ok(pausing > 0.03 && pausing * 1000 < total, String(pausing));
  assert.equal(metrics.value('vllm_router_time_per_output_token_seconds_count', model), 1);
  assert.equal(metrics.value('vllm_router_completion_tokens_total', model), 20);
  assert.equal(metrics.value('vllm_router_prompt_tokens_total', model), prompt);
});

test('every request feeds the series of requests, workers and policy', async () => {
  await using fleet = await startFleet({ router: { policy: 'round_robin' } });
  for (let turn = 0; turn < 4; turn += 1) await (await chat(fleet)).text();
  await fleet.workers[0]!.setFaults(['status:code=400']);
  for (let turn = 0; turn < 2; turn += 1) await (await chat(fleet)).text();
  const metrics = await scrape(fleet);
  const well = { route: ROUTE, method: 'POST', status_code: '200', status_class: '2xx' };
  assert.equal(metrics.value('vllm_router_http_requests_total', well), 5);
  assert.equal(metrics.sum('vllm_router_http_requests_total', { status_code: '400' }), 1);
  assert.equal(metrics.value('vllm_router_requests_total', { route: ROUTE }), 5);
  assert.equal(metrics.value('vllm_router_request_duration_seconds_count', { route: ROUTE }), 6);
  assert.equal(metrics.value('vllm_router_request_duration_seconds_bucket', { route: ROUTE, le: '+Inf' }), 6);
  const failed = { route: ROUTE, error_type: 'non_retryable_error' };
  assert.equal(metrics.value('vllm_router_request_errors_total', failed), 1);
  assert.equal(metrics.value('vllm_router_queue_duration_seconds_count', { class: 'normal' }), 6);
  assert.equal(metrics.value('vllm_router_overhead_seconds_count'), 6);
  for (const { url: worker } of fleet.workers) {
    assert.equal(
      metrics.value('vllm_router_worker_requests_total', { route: ROUTE, worker, routing: 'policy' }),
      3,
    );
    assert.equal(
      metrics.value('vllm_router_worker_request_duration_seconds_count', { route: ROUTE, worker }),
      3,
    );
    assert.equal(metrics.value('vllm_router_processed_requests_total', { worker }), 3);
    assert.equal(metrics.value('vllm_router_policy_decisions_total', { policy: 'round_robin', worker }), 3);
    assert.equal(metrics.value('vllm_router_worker_load', { worker }), 0);
  }
  assert.equal(metrics.value('vllm_router_active_workers'), fleet.all.length);
});

test('expected and reported cache hits are compared', async () => {
  await using fleet = await startFleet({ workers: [{}], router: { policy: 'cache_aware' } });
  const content = 'A long beginning that is always the same. '.repeat(50);
  const body = { model: 'sim-model', messages: [{ role: 'user', content }], max_tokens: 2 };
  await (await post(fleet, ROUTE, body)).text();
  await (await post(fleet, ROUTE, body)).text();
  const {
    predicted_cached_tokens: predicted,
    actual_cached_tokens: actual,
    prompt_tokens: prompt,
  } = await fleet.decision();
  assert.ok(actual! > 0.9 * prompt! && predicted! > 0.8 * prompt!);
  const metrics = await scrape(fleet);
  // The one that computes the prompts.
  const worker = fleet.all[0]!.url;
  assert.equal(metrics.value('vllm_router_predicted_cached_tokens_total', { worker }), predicted);
  assert.equal(metrics.value('vllm_router_actual_cached_tokens_total', { worker }), actual);
  assert.equal(metrics.value('vllm_router_cache_prediction_error_ratio_count', { worker }), 2);
  const ratio = { model: 'sim-model' };
  assert.equal(metrics.value('vllm_router_cached_token_ratio_count', ratio), 2);
  assert.ok(Math.abs(metrics.value('vllm_router_cached_token_ratio_sum', ratio) - actual! / prompt!) < 1e-6);
  assert.ok(metrics.value('vllm_router_tree_size', { worker }) > 20);
});

test('a cache that forgets sooner than expected shows', async () => {
  // 64 blocks of 16 tokens: the second prompt drives out the first.
  await using fleet = await startFleet({
    workers: [{ model: { blocks: 64 } }],
    router: { policy: 'cache_aware' },
  });
  const prompt = (id: number): object => ({
    messages: [{ role: 'user', content: `${id} ${'and so on and on '.repeat(200)}` }],
    max_tokens: 2,
  });
  for (const id of [1, 2, 1]) {
    const response = await chat(fleet, prompt(id));
    assert.equal(response.status, 200);
    await response.text();
  }
  const { predicted_cached_tokens: predicted, actual_cached_tokens: actual } = await fleet.decision();
  assert.ok(predicted! > 300, String(predicted));
  assert.ok(actual! < predicted! - 200, String(actual));
  const metrics = await scrape(fleet);
  assert.ok(
    metrics.sum('vllm_router_predicted_cached_tokens_total') >
      metrics.sum('vllm_router_actual_cached_tokens_total') + 200,
  );
});

test('names that clients make up do not become labels', async () => {
  await using fleet = await startFleet({ workers: [{}] });
  for (let turn = 0; turn < 3; turn += 1) {
    await (await streamChat(fleet, { model: `made-up-${turn}` })).text();
    await (await fetch(`${fleet.url}/made/up/${turn}`, { method: 'BREW' }).catch(() => undefined))?.text();
  }
  const text = await fleet.metrics();
  assert.doesNotMatch(text, /made-up|made\/up|BREW/);
});

test('what is going on right now is to be seen, too', async () => {
  await using fleet = await startFleet({ workers: [{}] });
  const [worker] = fleet.workers;
  await worker!.setFaults(['hang']);
  const controller = new AbortController();
  const arrived = worker!.next('request');
  const response = chat(fleet, {}, { signal: controller.signal });
  await arrived;
  const during = await scrape(fleet);
  assert.equal(during.value('vllm_router_inflight_requests'), 1);
  assert.equal(during.value('vllm_router_running_requests', { worker: worker!.url }), 1);
  assert.equal(during.value('vllm_router_worker_load', { worker: worker!.url }), 1);
  assert.ok(during.value('vllm_router_inflight_body_bytes') > 0);
  controller.abort();
  await assert.rejects(response);
  await eventually(() => fleet.app.runtime.admission.inFlight === 0);
  const after = await scrape(fleet);
  for (const name of ['inflight_requests', 'running_requests', 'worker_load', 'inflight_body_bytes']) {
    assert.equal(after.sum(`vllm_router_${name}`), 0, name);
  }
});
