import type { Log } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';
import { BREAKER_STATE_CODES } from '../workers/breaker.ts';
import type { HookEvents } from './chain.ts';

/** Shows what hooks do in metrics and log. Nothing of a request is in it: the reason of a rejection may quote the prompt. */
export function showHookEvents(metrics: Metrics, log: Log): HookEvents {
  return {
    outcome(hook, outcome, durationMs) {
      metrics.hookRequestsTotal.with(hook, outcome).inc();
      metrics.hookDurationSeconds.with(hook).observe(durationMs / 1000);
    },
    breaker(hook, from, to) {
      metrics.hookCbState.with(hook).set(BREAKER_STATE_CODES[to]);
      metrics.hookCbStateTransitionsTotal.with(hook, from, to).inc();
      log.warn({ hook, from, to }, 'circuit breaker of a hook changed');
    },
    failing(hook, message) {
      log.warn({ hook, reason: message }, 'hook fails');
    },
    recovered(hook) {
      log.info({ hook }, 'hook answers again');
    },
  };
}
