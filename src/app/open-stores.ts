import type { Clock } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import type { StoreSettings } from '../config/settings/redis-settings.ts';
import type { Log } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';
import { showRedisEvents } from '../redis/redis-events.ts';
import type { RedisLink } from '../redis/redis-link.ts';
import { RedisLinks } from '../redis/redis-links.ts';
import { SharedValues, type Discarded } from '../redis/shared-values.ts';

interface Parts {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: Metrics;
}

/** The servers of Redis or Valkey that this thread has connections to, and what routers keep there for each other. */
export interface Stores {
  readonly links: RedisLinks;
  readonly onDiscarded: (kind: string, reason: Discarded) => void;
  /** Whoever has it closes its link. */
  valuesOf(
    settings: StoreSettings,
    what: { readonly kind: string; readonly mostBytes: number },
  ): SharedValues & { readonly link: RedisLink };
}

/** @param speaks Whether this thread says in the log what becomes of connections: the others have met the same. */
export function openStores({ clock, random, log, metrics }: Parts, speaks: boolean): Stores {
  const links = new RedisLinks({ clock, random, events: showRedisEvents(metrics, log, speaks) });
  const onDiscarded = (kind: string, reason: Discarded): void => {
    metrics.sharedValuesDiscardedTotal.with(kind, reason).inc();
  };
  return {
    links,
    onDiscarded,
    valuesOf: ({ redis, secret }, what) =>
      new SharedValues(links.open(redis), clock, { ...what, secret, onDiscarded }),
  };
}
