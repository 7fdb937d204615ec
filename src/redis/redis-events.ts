import type { Log } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';
import type { Unavailable } from './redis-link.ts';

/** Who hears of what becomes of links. `why` undefined: it is well. */
export interface RedisEvents {
  readonly asked: (server: string, outcome: 'done' | Unavailable, durationMs: number | undefined) => void;
  readonly link: (server: string, why: string | undefined) => void;
  readonly subscriber: (server: string, why: string | undefined) => void;
  readonly writes: (server: string, why: 'full' | 'read_only' | undefined) => void;
}

const WRITES = {
  full: 'redis has no memory left: nothing is written for a while',
  read_only: 'redis is read-only: nothing is written for a while',
} as const;

/**
 * Shows them in metrics, and every change of a link once in the log.
 * @param speaks Whether this thread is the one that says it for all of them.
 */
export function showRedisEvents(metrics: Metrics, log: Log, speaks: boolean): RedisEvents {
  const down = new Map<string, boolean>();
  const say = (part: string, server: string, why: string | undefined): void => {
    const before = down.get(part + server);
    down.set(part + server, why !== undefined);
    if (!speaks || before === (why !== undefined)) return;
    if (why !== undefined)
      log.warn({ server, reason: why }, `${part} is away: the router goes on without it`);
    else log.info({ server }, `${part} answers`);
  };
  return {
    asked(server, outcome, durationMs) {
      metrics.redisCommandsTotal.with(server, outcome).inc();
      if (durationMs !== undefined) metrics.redisCommandSeconds.with(server).observe(durationMs / 1000);
    },
    link(server, why) {
      metrics.redisUp.with(server).set(why === undefined ? 1 : 0);
      say('redis', server, why);
    },
    subscriber(server, why) {
      say('redis subscription', server, why);
    },
    writes(server, why) {
      metrics.redisTakesWrites.with(server).set(why === undefined ? 1 : 0);
      if (!speaks) return;
      if (why === undefined) log.info({ server }, 'redis takes writes again');
      else log.warn({ server }, WRITES[why]);
    },
  };
}
