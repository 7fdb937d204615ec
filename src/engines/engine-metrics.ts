/** What vLLM's own metrics say of one engine (data-parallel rank); absent where a series is missing. */
export interface EngineMetrics {
  running?: number;
  waiting?: number;
  /** Used share of the KV cache, 0 to 1. */
  kvCacheUsage?: number;
}

const NAMES: Readonly<Record<string, keyof EngineMetrics>> = {
  'vllm:num_requests_running': 'running',
  'vllm:num_requests_waiting': 'waiting',
  'vllm:kv_cache_usage_perc': 'kvCacheUsage',
  // Its name until vLLM 0.9.
  'vllm:gpu_cache_usage_perc': 'kvCacheUsage',
};
const LINE = /^(vllm:\w+)(?:\{([^}]*)\})?\s+([0-9.eE+-]+)/;
const ENGINE_LABEL = /(?:^|,)\s*engine="(\d+)"/;

/** By vLLM's `engine` label; a server without the label has the one engine 0. */
export function readEngineMetrics(exposition: string): ReadonlyMap<number, EngineMetrics> {
  const engines = new Map<number, EngineMetrics>();
  for (const line of exposition.split('\n')) {
    const match = LINE.exec(line);
    const field = match && NAMES[match[1] ?? ''];
    const value = Number(match?.[3]);
    if (!field || !Number.isFinite(value)) continue;
    const engine = Number(ENGINE_LABEL.exec(match[2] ?? '')?.[1] ?? 0);
    const metrics = engines.get(engine) ?? {};
    engines.set(engine, metrics);
    metrics[field] = (metrics[field] ?? 0) + value;
  }
  return engines;
}

/** A worker without a rank is the whole server: its engines add up, their caches are averaged. */
export function metricsOf(
  engines: ReadonlyMap<number, EngineMetrics>,
  rank: number | undefined,
): EngineMetrics | undefined {
  if (rank !== undefined) return engines.get(rank);
  const all = [...engines.values()];
  if (all.length === 0) return undefined;
  const sum = (field: keyof EngineMetrics): number | undefined => {
    const values = all.map((metrics) => metrics[field]).filter((value) => value !== undefined);
    return values.length === 0 ? undefined : values.reduce((left, right) => left + right);
  };
  const [running, waiting, usage] = [sum('running'), sum('waiting'), sum('kvCacheUsage')];
  return {
    ...(running === undefined ? {} : { running }),
    ...(waiting === undefined ? {} : { waiting }),
    ...(usage === undefined ? {} : { kvCacheUsage: usage / all.length }),
  };
}
