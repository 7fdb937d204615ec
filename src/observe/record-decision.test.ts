import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { accessLine } from './access-line.ts';
import { boundedMethod, boundedModel, createMetrics, SERIES } from './metrics.ts';
import { recordDecision, type FinishedRequest } from './record-decision.ts';
import { SERIES_TABLE } from './series-table.ts';

const W1 = 'http://10.0.0.1:8000';
const W2 = 'http://10.0.0.2:8000@1';
const CHAT = '/v1/chat/completions';

function finished(changes: Partial<FinishedRequest> = {}): FinishedRequest {
  return {
    request_id: 'req-1',
    http_method: 'POST',
    route: CHAT,
    status: 200,
    outcome: 'ok',
    stream: true,
    requested_model: 'alias',
    model: 'llama',
    method: 'policy',
    policy: 'cache_aware',
    worker: W1,
    reason: 'warmest',
    attempts: [{ worker: W1, reason: 'warmest', duration_ms: 900 }],
    queue_ms: 0,
    duration_ms: 300,
    total_ms: 1000,
    request_bytes: 2048,
    response_bytes: 9000,
    ...changes,
  };
}

function record(...requests: FinishedRequest[]): ReturnType<typeof createMetrics> {
  const metrics = createMetrics();
  for (const request of requests) recordDecision(metrics, request, 'llama');
  return metrics;
}

describe('recordDecision', () => {
  it('counts a streamed answer: ends, durations, tokens and times per token', () => {
    const metrics = record(
      finished({ ttft_ms: 400, prompt_tokens: 700, completion_tokens: 61, overhead_ms: 0.3 }),
    );
    assert.equal(metrics.requestsTotal.with(CHAT).value, 1);
    assert.equal(metrics.httpRequestsTotal.with(CHAT, 'POST', '200', '2xx').value, 1);
    assert.equal(metrics.httpRequestDurationSeconds.with(CHAT, 'POST', '2xx').sum, 1);
    assert.equal(metrics.requestDurationSeconds.with(CHAT).sum, 1);
    assert.equal(metrics.generateDurationSeconds.with().sum, 0.3);
    assert.equal(metrics.timeToFirstTokenSeconds.with('llama').sum, 0.4);
    assert.equal(metrics.timePerOutputTokenSeconds.with('llama').sum, 0.01);
    assert.equal(metrics.promptTokensTotal.with('llama').value, 700);
    assert.equal(metrics.completionTokensTotal.with('llama').value, 61);
    assert.equal(metrics.overheadSeconds.with().sum, 0.0003);
    assert.equal(metrics.queueDurationSeconds.with('normal').count, 1);
    assert.equal(metrics.requestErrorsTotal.series.size, 0);
    assert.equal(metrics.admissionRejectionsTotal.series.size, 0);
  });

  it('does not take a health check that says 503 for a failed request', () => {
    const metrics = record(finished({ route: '/health', http_method: 'GET', status: 503, attempts: [] }));
    assert.equal(metrics.httpRequestsTotal.with('/health', 'GET', '503', '5xx').value, 1);
    assert.equal(metrics.requestErrorsTotal.series.size, 0);
  });

  it('has no time per token where there is none: one token, no stream, or a cut stream', () => {
    const metrics = record(
      finished({ ttft_ms: 400, completion_tokens: 1 }),
      finished({ stream: false, ttft_ms: 400, completion_tokens: 10 }),
      finished({ outcome: 'client_abort', ttft_ms: 400, completion_tokens: 10 }),
    );
    assert.equal(metrics.timePerOutputTokenSeconds.series.size, 0);
    assert.equal(metrics.timeToFirstTokenSeconds.with('llama').count, 2);
  });

  it('counts each attempt with its own worker, and the policy only where it chose', () => {
    const attempts = [
      { worker: W1, reason: 'rebalanced', duration_ms: 100, resent: true as const },
      { worker: W2, reason: 'warmest', duration_ms: 500 },
    ];
    const metrics = record(
      finished({ attempts, worker: W2 }),
      finished({ attempts: [{ worker: W2, reason: 'owner', duration_ms: 50 }], method: 'owner', worker: W2 }),
      finished({ attempts: [{ worker: W2, reason: 'prefix', duration_ms: 50 }], method: 'lmcache-prefix' }),
    );
    assert.equal(metrics.workerRequestsTotal.with(CHAT, W1, 'policy').value, 1);
    assert.equal(metrics.workerRequestsTotal.with(CHAT, W2, 'policy').value, 1);
    assert.equal(metrics.workerRequestsTotal.with(CHAT, W2, 'owner').value, 1);
    assert.equal(metrics.workerRequestsTotal.with(CHAT, W2, 'lmcache_prefix').value, 1);
    assert.equal(metrics.workerRequestDurationSeconds.with(CHAT, W1).sum, 0.1);
    assert.equal(metrics.workerRequestDurationSeconds.with(CHAT, W2).count, 3);
    assert.equal(metrics.processedRequestsTotal.with(W1).value, 1);
    assert.equal(metrics.processedRequestsTotal.with(W2).value, 1);
    assert.equal(metrics.policyDecisionsTotal.with('cache_aware', W2).value, 1);
    assert.equal(metrics.loadBalancingEventsTotal.with().value, 1);
    assert.equal(metrics.connectionResendsTotal.with(W1).value, 1);
    assert.equal(metrics.connectionResendsTotal.series.size, 1);
  });

  it('tells failures apart: no worker, a worker’s own error, the router’s, a broken stream', () => {
    const metrics = record(
      finished({ status: 503, outcome: 'router_error', error: 'no_worker_available', attempts: [] }),
      finished({ status: 400 }),
      finished({ status: 502, outcome: 'worker_broken', error: 'connect_failed' }),
      finished({ status: 200, outcome: 'worker_broken', error: 'worker_closed' }),
    );
    const errors = [...metrics.requestErrorsTotal.series].map((s) => [s.labelValues[1], s.value]);
    assert.deepEqual(errors, [
      ['no_available_workers', 1],
      ['non_retryable_error', 1],
      ['connect_failed', 1],
      ['worker_closed', 1],
    ]);
    assert.equal(metrics.requestsTotal.series.size, 0);
    assert.equal(metrics.generateDurationSeconds.with().count, 0);
    assert.equal(metrics.brokenStreamsTotal.with(W1).value, 1);
    assert.equal(metrics.requestDurationSeconds.with(CHAT).count, 3);
  });

  it('does not call a client that left an error', () => {
    const metrics = record(
      finished({ status: 499, outcome: 'client_abort', error: 'client_closed' }),
      finished({ status: 200, outcome: 'client_abort' }),
    );
    assert.equal(metrics.clientAbortsTotal.with(CHAT).value, 2);
    assert.equal(metrics.requestErrorsTotal.series.size, 0);
    assert.equal(metrics.requestsTotal.series.size, 0);
    assert.equal(metrics.httpRequestsTotal.with(CHAT, 'POST', '499', '4xx').value, 1);
  });

  it('counts admission’s refusals by reason, and the wait of those that waited', () => {
    const none = { attempts: [], outcome: 'rejected' as const };
    const metrics = record(
      finished({ ...none, status: 429, error: 'queue_full' }),
      finished({ ...none, status: 408, error: 'queue_timeout', queue_ms: 60_000 }),
      finished({ ...none, status: 503, error: 'inflight_bytes_exceeded' }),
      finished({ ...none, status: 413, error: 'payload_too_large' }),
    );
    assert.deepEqual(
      [...metrics.admissionRejectionsTotal.series].map((s) => s.labelValues[0]),
      ['queue_full', 'queue_timeout', 'inflight_bytes_exceeded'],
    );
    assert.equal(metrics.queueDurationSeconds.with('normal').count, 1);
    assert.equal(metrics.queueDurationSeconds.with('normal').sum, 60);
    assert.equal(metrics.requestDurationSeconds.series.size, 0);
  });

  it('compares predicted with actual cached tokens only where both are known', () => {
    const metrics = record(
      finished({ prompt_tokens: 1000, predicted_cached_tokens: 600, actual_cached_tokens: 400 }),
      finished({ prompt_tokens: 1000, predicted_cached_tokens: 600 }),
      finished({ prompt_tokens: 1000, actual_cached_tokens: 1000 }),
      finished({ prompt_tokens: 0, predicted_cached_tokens: 0, actual_cached_tokens: 0 }),
    );
    assert.equal(metrics.predictedCachedTokensTotal.with(W1).value, 600);
    assert.equal(metrics.actualCachedTokensTotal.with(W1).value, 400);
    assert.equal(metrics.cachePredictionErrorRatio.with(W1).sum, 0.2);
    assert.equal(metrics.cachePredictionErrorRatio.with(W1).count, 1);
    assert.equal(metrics.cachedTokenRatio.with('llama').count, 2);
  });

  it('keeps what clients choose out of the labels', () => {
    const metrics = record(finished({ http_method: 'PROPFIND', status: 799 }));
    assert.equal(metrics.httpRequestsTotal.with(CHAT, 'OTHER', '799', 'other').value, 1);
    const model = boundedModel(new Set(['llama']));
    assert.deepEqual([model('llama'), model('x'), model(undefined)], ['llama', 'other', 'other']);
    assert.deepEqual(
      [boundedMethod('GET'), boundedMethod('get'), boundedMethod('BREW')],
      ['GET', 'OTHER', 'OTHER'],
    );
  });

  it('drops the route from per-worker histograms above 64 workers', () => {
    const metrics = createMetrics();
    for (let i = 0; i < 64; i++) metrics.workerJoined(`w${i}`);
    assert.equal(metrics.perWorkerRoute(CHAT), CHAT);
    metrics.workerJoined('w64');
    assert.equal(metrics.perWorkerRoute(CHAT), '');
    metrics.workerLeft('w0');
    assert.equal(metrics.perWorkerRoute(CHAT), CHAT);
  });

  it('does not bring a removed worker back when its last request ends', async () => {
    const metrics = createMetrics();
    metrics.workerJoined(W1);
    metrics.workerJoined(W2);
    recordDecision(metrics, finished(), 'llama');
    metrics.workerLeft(W1);
    recordDecision(
      metrics,
      finished({ predicted_cached_tokens: 1, actual_cached_tokens: 1, prompt_tokens: 1 }),
      'llama',
    );
    assert.ok(!(await metrics.registry.text()).includes(W1));
    assert.equal(metrics.activeWorkers.with().value, 1);
    assert.equal(metrics.requestsTotal.with(CHAT).value, 2);
    metrics.workerJoined(W1);
    assert.equal(metrics.workerHealth.with(W1).value, 0);
    assert.ok((await metrics.registry.text()).includes(W1));
  });

  it('says when a family is full', async () => {
    const metrics = createMetrics();
    for (let i = 0; i <= 100_000; i++) metrics.hashKeyTotal.with(String(i));
    assert.equal(metrics.metricSeriesDroppedTotal.with('vllm_router_hash_key_total').value, 1);
  });
});

describe('the table of series', () => {
  it('names every field after its series', () => {
    for (const [field, { name }] of Object.entries(SERIES_TABLE)) {
      const camel = name
        .replace(/^vllm_router_/, '')
        .replace(/_([a-z0-9])/g, (_, c: string) => c.toUpperCase());
      assert.equal(field, camel);
    }
  });

  it('follows the conventions for names', () => {
    for (const { name, type, buckets, meaning, labels } of SERIES) {
      assert.equal(name.endsWith('_total'), type === 'counter', name);
      assert.equal(buckets !== undefined, type === 'histogram', name);
      assert.match(name, /^(vllm_router|process|nodejs)_[a-z0-9_]+$/);
      assert.doesNotMatch(name, /_(ms|millis|minutes|kb)(_|$)/);
      assert.match(meaning, /^\S.*\.$|^\S.*\)\.?$/, name);
      assert.equal(new Set<string>(labels).size, labels.length);
      if (name.endsWith('duration_seconds')) assert.equal(buckets?.length, 20, name);
    }
  });
});

describe('accessLine', () => {
  const levels: readonly [Partial<FinishedRequest>, string][] = [
    [{ status: 503, attempts: [] }, 'info'],
    [{ status: 200 }, 'info'],
    [{ status: 304 }, 'info'],
    [{ status: 404, outcome: 'rejected' }, 'warn'],
    [{ status: 499, outcome: 'client_abort' }, 'warn'],
    [{ status: 503, outcome: 'router_error' }, 'error'],
    [{ status: 200, outcome: 'worker_broken' }, 'error'],
    [{ status: 200, outcome: 'client_abort' }, 'info'],
  ];
  for (const [changes, level] of levels) {
    it(`is ${level} for ${JSON.stringify(changes)}`, () => {
      assert.equal(accessLine(finished(changes)).level, level);
    });
  }

  it('has the words of the decision record and nothing else', () => {
    const { fields, message } = accessLine(finished({ ttft_ms: 400.123, prompt_tokens: 5, queue_ms: 12.34 }));
    assert.equal(message, '/v1/chat/completions 200 ok');
    assert.deepEqual(JSON.parse(JSON.stringify(fields)), {
      request_id: 'req-1',
      http_method: 'POST',
      route: CHAT,
      status: 200,
      outcome: 'ok',
      model: 'llama',
      worker: W1,
      method: 'policy',
      policy: 'cache_aware',
      reason: 'warmest',
      stream: true,
      duration_ms: 300,
      total_ms: 1000,
      ttft_ms: 400.1,
      queue_ms: 12.3,
      prompt_tokens: 5,
      request_bytes: 2048,
      response_bytes: 9000,
    });
  });

  it('cuts what clients can make long', () => {
    const long = 'x'.repeat(100_000);
    const { fields } = accessLine(finished({ request_id: long, model: long }));
    assert.ok(JSON.stringify(fields).length < 1200);
  });

  it('shows the number of attempts when there was more than one', () => {
    const attempt = { worker: W1, reason: 'warmest', duration_ms: 1 };
    assert.equal(accessLine(finished()).fields['attempts'], undefined);
    assert.equal(accessLine(finished({ attempts: [attempt, attempt] })).fields['attempts'], 2);
  });
});
