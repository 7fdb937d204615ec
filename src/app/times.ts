import type { Settings } from '../config/settings/settings.ts';
import type { PollTimes } from '../engines/load-poller.ts';
import type { HealthTimes } from '../workers/health.ts';

/** How often and how long workers are asked how they are. */
export function healthTimes(settings: Settings): HealthTimes {
  return {
    settings: settings.health,
    startupTimeoutMs: settings.workerStartupTimeoutMs,
    startupCheckIntervalMs: settings.workerStartupCheckIntervalMs,
  };
}

/** How often and how long their metrics are read. */
export function pollTimes({ loadCheckIntervalMs, health }: Settings): PollTimes {
  return { intervalMs: loadCheckIntervalMs, timeoutMs: health.timeoutMs };
}
