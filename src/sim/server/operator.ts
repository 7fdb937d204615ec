import { badRequest } from './api-error.ts';
import { fieldsOf, type Exchange } from './exchange.ts';
import { integerField } from './fields.ts';
import type { SimState } from './sim-state.ts';

function empty(exchange: Exchange): void {
  exchange.reply.send(200, 'text/plain; charset=utf-8', '');
}

/** POST /sleep?level=1|2&mode=abort|wait|keep: no more steps until `/wake_up`. */
export function sleep(sim: SimState, exchange: Exchange): void {
  const level = Number(exchange.query.get('level') ?? '1');
  const mode = exchange.query.get('mode') ?? 'abort';
  if (level !== 1 && level !== 2) throw badRequest('level: expected 1 or 2', 'level');
  if (mode !== 'abort' && mode !== 'wait' && mode !== 'keep')
    throw badRequest('mode: expected abort, wait or keep', 'mode');
  sim.sleepLevel = level;
  for (const engine of sim.engines) {
    if (mode === 'abort') engine.clear();
    // Sleeping gives the KV cache's memory back, and its contents with it.
    engine.cache.reset();
  }
  sim.holdOrRun();
  empty(exchange);
}

/** POST /wake_up and /resume */
export function wakeUp(sim: SimState, exchange: Exchange): void {
  sim.sleepLevel = 0;
  sim.paused = false;
  sim.holdOrRun();
  empty(exchange);
}

/** POST /pause */
export function pause(sim: SimState, exchange: Exchange): void {
  sim.paused = true;
  sim.holdOrRun();
  exchange.reply.json('{"status":"paused"}');
}

/** vLLM's server asks the engine, so that one that hangs does not answer. */
export function isSleeping(sim: SimState, exchange: Exchange): void {
  if (sim.frozenMetrics !== undefined) return;
  exchange.reply.json(JSON.stringify({ is_sleeping: sim.sleepLevel > 0 }));
}

export function isPaused(sim: SimState, exchange: Exchange): void {
  if (sim.frozenMetrics !== undefined) return;
  exchange.reply.json(JSON.stringify({ is_paused: sim.paused }));
}

/** POST /reset_prefix_cache: like vLLM's, it does nothing to an engine that has blocks in use. */
export function resetPrefixCache(sim: SimState, exchange: Exchange): void {
  for (const engine of sim.engines) engine.cache.reset();
  empty(exchange);
}

export function accepted(_sim: SimState, exchange: Exchange): void {
  empty(exchange);
}

export function abortAll(sim: SimState, exchange: Exchange): void {
  for (const engine of sim.engines) engine.clear();
  empty(exchange);
}

export function serverInfo(sim: SimState, exchange: Exchange): void {
  const { model, models, dataParallelSize, seed } = sim.settings;
  exchange.reply.json(
    JSON.stringify({
      vllm_config: {
        model: sim.mainModel,
        served_model_name: models,
        max_model_len: model.maxModelLen,
        block_size: model.blockSize,
        num_gpu_blocks: model.blocks,
        max_num_seqs: model.maxRunning,
        max_num_batched_tokens: model.stepTokens,
        enable_prefix_caching: model.prefixCaching,
        data_parallel_size: dataParallelSize,
        seed,
      },
      simulated: true,
    }),
  );
}

export function worldSize(sim: SimState, exchange: Exchange): void {
  exchange.reply.json(JSON.stringify({ world_size: sim.settings.dataParallelSize }));
}

export function collectiveRpc(sim: SimState, exchange: Exchange): void {
  if (typeof fieldsOf(exchange)['method'] !== 'string')
    throw badRequest("Missing 'method' in request body", 'method');
  exchange.reply.json(JSON.stringify({ results: sim.engines.map(() => null) }));
}

/** POST /scale_elastic_ep: accepted for its answer's sake, the number of engines stays. */
export function scaleElastic(_sim: SimState, exchange: Exchange): void {
  const size = integerField(fieldsOf(exchange), 'new_data_parallel_size', 1);
  if (size === undefined)
    throw badRequest('new_data_parallel_size must be a positive integer', 'new_data_parallel_size');
  exchange.reply.json(JSON.stringify({ message: `Scaled to ${size} data parallel engines` }));
}

export function isScaling(_sim: SimState, exchange: Exchange): void {
  exchange.reply.json('{"is_scaling_elastic_ep":false}');
}
