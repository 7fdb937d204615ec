import type { Clock } from '../base/clock.ts';
import type { Metrics } from './metrics.ts';

/** Feeds the `process_*` series that are of the whole process at each scrape, until the returned function is called. */
export function observeProcess(metrics: Metrics, clock: Clock): () => void {
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
    metrics.processStartTimeSeconds.onCollect((family) => {
      family.with().set(startedAtSecs);
    }),
  ];
  return () => {
    for (const stop of off) stop();
  };
}
