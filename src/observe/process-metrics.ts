import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Clock } from '../base/clock.ts';
import type { Metrics } from './metrics.ts';

/** Each costs a wake-up: at 10 ms they alone were a third of a percent of a core, all day. */
const RESOLUTION_MS = 40;

/**
 * Feeds the `process_*` and event loop series at each scrape, until the returned function is called. The delay is the
 * one since the scrape before, as an alert needs it; the timer's own period is taken off.
 */
export function observeProcess(metrics: Metrics, clock: Clock): () => void {
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delay.enable();
  const startedAtSecs = (clock.wall() - process.uptime() * 1000) / 1000;
  const off = [
    metrics.processCpuSecondsTotal.onCollect((family) => {
      const { user, system } = process.cpuUsage();
      const cpu = family.with();
      cpu.inc((user + system) / 1e6 - cpu.value);
    }),
    metrics.processResidentMemoryBytes.onCollect((family) => {
      family.with().set(process.memoryUsage.rss());
    }),
    metrics.processHeapBytes.onCollect((family) => {
      family.with().set(process.memoryUsage().heapTotal);
    }),
    metrics.processStartTimeSeconds.onCollect((family) => {
      family.with().set(startedAtSecs);
    }),
    metrics.nodejsEventloopLagP99Seconds.onCollect((family) => {
      const p99Ms = delay.count === 0 ? 0 : delay.percentile(99) / 1e6;
      family.with().set(Math.max(0, p99Ms - RESOLUTION_MS) / 1000);
      delay.reset();
    }),
  ];
  return () => {
    delay.disable();
    for (const stop of off) stop();
  };
}
