import type { Exchange } from './exchange.ts';
import type { SimState } from './sim-state.ts';

/** vLLM's defaults, which nothing here depends on. */
const HIGH_WATER_MARK = 100_000;
const MAX_QUEUE_SIZE = 100_000;

/** GET /kv_event_sources: how each rank publishes its cache events; an empty object where none does. */
export function kvEventSources({ kvEvents }: SimState, exchange: Exchange): void {
  const { settings, ports = [] } = kvEvents ?? {};
  const sources = ports.map(({ port, replayPort }, rank) => [
    String(rank),
    {
      enable_kv_cache_events: true,
      publisher: 'zmq',
      endpoint: `tcp://*:${port}`,
      replay_endpoint: replayPort === undefined ? null : `tcp://*:${replayPort}`,
      buffer_steps: settings?.bufferSteps,
      hwm: HIGH_WATER_MARK,
      max_queue_size: MAX_QUEUE_SIZE,
      topic: settings?.topic,
    },
  ]);
  exchange.reply.json(JSON.stringify(Object.fromEntries(sources)));
}
