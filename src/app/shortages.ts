import type { Clock } from '../base/clock.ts';
import type { Log } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';

const LOG_PAUSE_MS = 10_000;

/** Counts connections that could not be had, and says so now and then: a shortage comes in thousands. */
export function reportShortages({
  metrics,
  log,
  clock,
}: {
  readonly metrics: Metrics;
  readonly log: Log;
  readonly clock: Clock;
}): (side: string, error?: unknown) => void {
  let silentUntil = -Infinity;
  return (side, error) => {
    metrics.socketShortagesTotal.with(side).inc();
    const now = clock.now();
    if (now < silentUntil) return;
    silentUntil = now + LOG_PAUSE_MS;
    log.warn(
      { side, ...(error === undefined ? {} : { err: error }) },
      'a connection could not be had, for want of descriptors, ports or buffers (ulimit -n)',
    );
  };
}
