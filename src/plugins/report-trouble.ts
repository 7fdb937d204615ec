import type { Clock } from '../base/clock.ts';
import type { Log } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';
import type { OnPluginTrouble } from '../routing/policy.ts';

const EVERY_MS = 60_000;

interface Told {
  at: number;
  /** Left out since. */
  untold: number;
}

/** Counts what goes wrong with plugins, and logs each kind of it at once and then every minute. */
export function reportTrouble(deps: {
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Pick<Metrics, 'pluginFailuresTotal'>;
}): OnPluginTrouble {
  const told = new Map<string, Told>();
  return ({ plugin, kind, message, error, disabled }) => {
    deps.metrics.pluginFailuresTotal.with(plugin, kind).inc();
    const now = deps.clock.now();
    const key = `${plugin} ${kind}`;
    const last = told.get(key);
    if (last && now - last.at < EVERY_MS && disabled !== true) {
      last.untold += 1;
      return;
    }
    told.set(key, { at: now, untold: 0 });
    const fields = {
      ...{ plugin, kind, reason: message },
      ...(error === undefined ? {} : { err: error }),
      ...(last && last.untold > 0 ? { untold: last.untold } : {}),
    };
    if (disabled === true) deps.log.error(fields, 'plugin is not asked any more: its fallback decides');
    else deps.log.warn(fields, 'plugin failed: its fallback decided');
  };
}
