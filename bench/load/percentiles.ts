import type { Latency } from './protocol.ts';

/** Every sample is kept and sorted: exact percentiles, for a window's worth of requests. */
export function percentiles(samples: readonly number[]): Latency | undefined {
  if (samples.length === 0) return undefined;
  const sorted = Float64Array.from(samples).sort();
  const at = (share: number): number =>
    sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? 0;
  return { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1) };
}
