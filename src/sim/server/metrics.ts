import { FINISHED_REASONS, type EngineStats } from '../engine/engine-stats.ts';
import type { Exchange } from './exchange.ts';
import { histogramLines, type Histogram } from './histogram.ts';
import { transferLines } from '../kv-transfer/transfer-metrics.ts';
import type { SimState } from './sim-state.ts';
import type { WorkerModel } from '../engine/worker-model.ts';

type Read = (engine: WorkerModel) => number;

const GAUGES: readonly (readonly [name: string, help: string, read: Read])[] = [
  ['num_requests_running', 'Number of requests in model execution batches.', (engine) => engine.running],
  ['num_requests_waiting', 'Number of requests waiting to be processed.', (engine) => engine.waiting],
  ['kv_cache_usage_perc', 'KV-cache usage. 1 means 100 percent usage.', (engine) => engine.kvUsage],
];

const COUNTERS: readonly (readonly [name: string, help: string, read: Read])[] = [
  ['prefix_cache_queries', 'Prefix cache queries, in tokens.', ({ stats }) => stats.prefixCacheQueries],
  ['prefix_cache_hits', 'Prefix cache hits, in tokens.', ({ stats }) => stats.prefixCacheHits],
  [
    'external_prefix_cache_queries',
    'Prefix cache queries behind the GPU, in tokens.',
    ({ stats }) => stats.externalCacheQueries,
  ],
  [
    'external_prefix_cache_hits',
    'Prefix cache hits behind the GPU, in tokens.',
    ({ stats }) => stats.externalCacheHits,
  ],
  ['num_preemptions', 'Cumulative number of preemptions.', ({ stats }) => stats.preemptions],
  ['prompt_tokens', 'Number of prefill tokens processed.', ({ stats }) => stats.promptTokens],
  ['generation_tokens', 'Number of generation tokens processed.', ({ stats }) => stats.generationTokens],
];

const HISTOGRAMS: readonly (readonly [
  name: string,
  help: string,
  read: (stats: EngineStats) => Histogram,
])[] = [
  ['time_to_first_token_seconds', 'Time to first token.', (stats) => stats.timeToFirstToken],
  ['inter_token_latency_seconds', 'Time between two tokens.', (stats) => stats.interTokenLatency],
  [
    'request_time_per_output_token_seconds',
    'Mean time per output token of a request.',
    (stats) => stats.timePerOutputToken,
  ],
  ['e2e_request_latency_seconds', 'End to end request latency.', (stats) => stats.endToEnd],
  ['request_queue_time_seconds', 'Time spent waiting.', (stats) => stats.queueTime],
  ['request_prefill_time_seconds', 'Time spent in prefill.', (stats) => stats.prefillTime],
  ['request_decode_time_seconds', 'Time spent in decode.', (stats) => stats.decodeTime],
  ['request_inference_time_seconds', 'Time spent running.', (stats) => stats.inferenceTime],
  ['iteration_tokens_total', 'Tokens per engine step.', (stats) => stats.iterationTokens],
  ['request_prompt_tokens', 'Prefill tokens per request.', (stats) => stats.requestPromptTokens],
  ['request_generation_tokens', 'Generated tokens per request.', (stats) => stats.requestGenerationTokens],
];

/** GET /metrics: Prometheus text with vLLM's names and labels, one series per engine. */
export function metrics(sim: SimState, exchange: Exchange): void {
  exchange.reply.send(200, 'text/plain; version=0.0.4; charset=utf-8', sim.frozenMetrics ?? metricsText(sim));
}

export function metricsText(sim: SimState): string {
  const lines: string[] = [];
  const family = (name: string, type: string, help: string): void => {
    lines.push(`# HELP vllm:${name} ${help}`, `# TYPE vllm:${name} ${type}`);
  };
  const label = (engine: number, more = ''): string =>
    `{${more}engine="${engine}",model_name="${escapeLabel(sim.mainModel)}"}`;
  for (const [name, help, read] of GAUGES) {
    family(name, 'gauge', help);
    for (const [i, engine] of sim.engines.entries()) lines.push(`vllm:${name}${label(i)} ${read(engine)}`);
  }
  for (const [name, help, read] of COUNTERS) {
    family(name, 'counter', help);
    for (const [i, engine] of sim.engines.entries())
      lines.push(`vllm:${name}_total${label(i)} ${read(engine)}`);
    family(`${name}_created`, 'gauge', help);
    for (const i of sim.engines.keys()) lines.push(`vllm:${name}_created${label(i)} ${sim.created}`);
  }
  family('request_success', 'counter', 'Count of successfully processed requests.');
  for (const [i, { stats }] of sim.engines.entries()) {
    for (const reason of FINISHED_REASONS) {
      const labels = label(i, `finished_reason="${reason}",`);
      lines.push(`vllm:request_success_total${labels} ${stats.finished[reason]}`);
    }
  }
  for (const [name, help, read] of HISTOGRAMS) {
    family(name, 'histogram', help);
    for (const [i, { stats }] of sim.engines.entries())
      histogramLines(lines, name, (more) => label(i, more), read(stats));
  }
  transferLines(sim, { lines, family, label });
  infoLines(sim, lines, family, label);
  return `${lines.join('\n')}\n`;
}

function infoLines(
  sim: SimState,
  lines: string[],
  family: (name: string, type: string, help: string) => void,
  label: (engine: number, more?: string) => string,
): void {
  const { blockSize, blocks, cpuBlocks, prefixCaching } = sim.settings.model;
  family('cache_config_info', 'gauge', 'Information of the LLMEngine CacheConfig.');
  const caching = prefixCaching ? 'True' : 'False';
  // vLLM adds up the blocks of its engines, and writes the sum at each of them.
  const ofAll = sim.engines.length * blocks;
  for (const i of sim.engines.keys()) {
    lines.push(
      `vllm:cache_config_info{block_size="${blockSize}",enable_prefix_caching="${caching}",engine="${i}",` +
        `kv_cache_size_tokens="${blocks * blockSize}",num_cpu_blocks="${cpuBlocks || 'None'}",` +
        `num_gpu_blocks="${ofAll}",prefix_caching_hash_algo="sha256_cbor"} 1`,
    );
  }
  family('engine_sleep_state', 'gauge', 'Engine sleep state.');
  const states = ['awake', 'weights_offloaded', 'discard_all'];
  for (const i of sim.engines.keys()) {
    for (const [level, state] of states.entries()) {
      lines.push(
        `vllm:engine_sleep_state${label(i, `sleep_state="${state}",`)} ${level === sim.sleepLevel ? 1 : 0}`,
      );
    }
  }
  if (sim.loras.size === 0) return;
  family('lora_requests_info', 'gauge', 'Running stats on lora requests.');
  const names = escapeLabel([...sim.loras.keys()].join(','));
  lines.push(
    `vllm:lora_requests_info{max_lora="${sim.loras.size}",running_lora_adapters="${names}",waiting_lora_adapters=""} ${sim.unixSeconds()}`,
  );
}

function escapeLabel(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}
