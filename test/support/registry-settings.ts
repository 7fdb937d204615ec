import type { BreakerSettings, HealthSettings } from '../../src/config/settings/settings.ts';

/** For registries in unit tests: one failed check makes a worker unhealthy, one good one healthy again. */
export const BREAKER: BreakerSettings = {
  ...{ enabled: true, failureThreshold: 5, successThreshold: 2, openMs: 1000, windowMs: 1000 },
  halfOpenTrials: 1,
};

export const HEALTH: HealthSettings = {
  path: '/health',
  intervalMs: 1000,
  timeoutMs: 100,
  failureThreshold: 1,
  successThreshold: 1,
};
