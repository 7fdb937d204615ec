import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { engineOf, readEngines } from './engine-report.ts';

describe('what engines report', () => {
  const exposition = (engine: number, aborted: number): string => `
vllm:num_requests_running{engine="${engine}",model_name="m"} 2.0
vllm:num_requests_waiting{engine="${engine}",model_name="m"} 1.0
vllm:num_requests_waiting_by_reason{engine="${engine}",model_name="m",reason="capacity"} 1.0
vllm:prompt_tokens_total{engine="${engine}",model_name="m"} 1000.0
vllm:prompt_tokens_created{engine="${engine}",model_name="m"} 1.79e+09
vllm:prompt_tokens_by_source_total{engine="${engine}",model_name="m",source="local_compute"} 900.0
vllm:generation_tokens_total{engine="${engine}",model_name="m"} 100.0
vllm:iteration_tokens_total_count{engine="${engine}",model_name="m"} 50.0
vllm:iteration_tokens_total_sum{engine="${engine}",model_name="m"} 1100.0
vllm:request_success_total{engine="${engine}",finished_reason="stop",model_name="m"} 3.0
vllm:request_success_total{engine="${engine}",finished_reason="abort",model_name="m"} ${aborted}.0
`;

  it('is their requests, and a number that grows with their work but not with what was aborted', () => {
    const engines = readEngines(exposition(0, 7) + exposition(1, 9));
    assert.deepEqual(
      [...engines],
      [
        [0, { requests: 3, work: 1153 }],
        [1, { requests: 3, work: 1153 }],
      ],
    );
  });

  it('may be without labels, and may lack either', () => {
    assert.deepEqual(
      [...readEngines('vllm:num_requests_running 2\nvllm:generation_tokens_total 5\n')],
      [[0, { requests: 2, work: 5 }]],
    );
    assert.deepEqual([...readEngines('vllm:num_requests_running 2\n')], [[0, { requests: 2 }]]);
    assert.equal(readEngines('# nothing\n').size, 0);
  });
});

/** As vLLM 0.32 writes it, some of its labels left out. */
function configOf(
  engine: number,
  { blocks = '256', tokens = '8192', caching = 'True' }: Readonly<Record<string, string>> = {},
): string {
  return (
    'vllm:cache_config_info{_block_size_resolved="True",block_size="32",effective_attention_block_size="64",' +
    `enable_prefix_caching="${caching}",engine="${engine}",hash_block_size="None",kv_cache_dtype_skip_layers="[]",` +
    `kv_cache_size_tokens="${tokens}",num_cpu_blocks="None",num_gpu_blocks="${blocks}",user_specified_block_size="True"} 1.0\n`
  );
}

describe('the cache of an engine', () => {
  const cacheOf = (exposition: string, rank?: number) => engineOf(readEngines(exposition), rank).cache;

  it('has its block size, its blocks, and whether prefixes are kept', () => {
    assert.deepEqual(cacheOf(configOf(0)), { blockSize: 32, blocks: 256, prefixCaching: true });
    assert.equal(cacheOf(configOf(0, { caching: 'False' }))?.prefixCaching, false);
  });

  it('is its own where vLLM writes the blocks of all engines at each', () => {
    const two = configOf(0, { blocks: '512' }) + configOf(1, { blocks: '512' });
    assert.equal(cacheOf(two, 1)?.blocks, 256);
    assert.equal(cacheOf(two)?.blocks, 512);
    const older =
      configOf(0, { blocks: '512', tokens: 'None' }) + configOf(1, { blocks: '512', tokens: 'None' });
    assert.equal(cacheOf(older, 0)?.blocks, 256);
  });

  it('is not known where the label is missing or is no number', () => {
    assert.equal(cacheOf('vllm:cache_config_info{engine="0",block_size="None"} 1.0\n'), undefined);
    assert.equal(cacheOf('vllm:cache_config_info{engine="0",hash_block_size="16"} 1.0\n'), undefined);
    assert.equal(cacheOf('vllm:cache_config_info{engine="0",block_size="1e99"} 1.0\n'), undefined);
    assert.deepEqual(cacheOf('vllm:cache_config_info{block_size="16",num_gpu_blocks="None"} 1.0\n'), {
      ...{ blockSize: 16, blocks: undefined, prefixCaching: undefined },
    });
  });

  it('tells how many tokens it was asked for and had', () => {
    const text =
      'vllm:prefix_cache_queries_total{engine="0",model_name="m"} 17046.0\n' +
      'vllm:prefix_cache_queries_created{engine="0",model_name="m"} 1.79e+09\n' +
      'vllm:prefix_cache_hits_total{engine="0",model_name="m"} 1184.0\n';
    assert.deepEqual([...readEngines(text)], [[0, { cacheQueries: 17046, cacheHits: 1184 }]]);
  });
});
