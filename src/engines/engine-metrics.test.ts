import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { metricsOf, readEngineMetrics } from './engine-metrics.ts';

const EXPOSITION = `# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="a,b}"} 3.0
vllm:num_requests_running{model_name="m",engine="1"} 5
vllm:num_requests_waiting{engine="0",model_name="m"} 1
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.75
vllm:num_requests_running_total 9
process_cpu_seconds_total 12.5
`;

describe("a vLLM server's metrics", () => {
  it('are read by engine', () => {
    const engines = readEngineMetrics(EXPOSITION.replace('a,b}', 'a'));
    assert.deepEqual(metricsOf(engines, 0), { running: 3, waiting: 1, kvCacheUsage: 0.25 });
    assert.deepEqual(metricsOf(engines, 1), { running: 5, kvCacheUsage: 0.75 });
    assert.equal(metricsOf(engines, 2), undefined);
  });

  it('add up for the whole server, the caches averaged', () => {
    const engines = readEngineMetrics(EXPOSITION.replace('a,b}', 'a'));
    assert.deepEqual(metricsOf(engines, undefined), { running: 8, waiting: 1, kvCacheUsage: 0.5 });
  });

  it('may be old, without labels, or none', () => {
    const old = readEngineMetrics('vllm:gpu_cache_usage_perc 0.5\nvllm:num_requests_running 2\n');
    assert.deepEqual(metricsOf(old, undefined), { running: 2, kvCacheUsage: 0.5 });
    for (const text of ['', 'not metrics', 'vllm:num_requests_running NaN', 'vllm:num_requests_running{'])
      assert.equal(metricsOf(readEngineMetrics(text), undefined), undefined, text);
  });
});
