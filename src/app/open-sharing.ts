import type { Random } from '../base/random.ts';
import type { Settings } from '../config/settings/settings.ts';
import type { Tenants } from '../limits/tenants.ts';
import { showRedisEvents } from '../redis/redis-events.ts';
import { RedisLinks } from '../redis/redis-links.ts';
import { openAnswerCache, type OpenAnswerCache } from './open-answer-cache.ts';
import { openTenantBooks, type OpenTenantBooks } from './open-tenant-books.ts';
import { openReplicas, type OpenReplicas, type ReplicaParts } from './open-replicas.ts';

interface Parts extends Omit<ReplicaParts, 'links' | 'settings'> {
  readonly random: Random;
  /** Those in force. */
  readonly settings: () => Settings;
  readonly tenants: () => Tenants;
}

/** The links of this thread to servers of Redis, and what may be kept there. Nothing is asked of `index` and `tenants` before the start. */
export function openSharing(parts: Parts): {
  readonly redisLinks: RedisLinks;
  readonly openAnswers: OpenAnswerCache;
  readonly replicas: OpenReplicas;
  readonly tenantBooks: OpenTenantBooks;
} {
  const { part, clock, random, log, metrics, settings } = parts;
  const events = showRedisEvents(metrics, log, part.kind !== 'request');
  const redisLinks = new RedisLinks({ clock, random, events });
  const replicas = openReplicas({ ...parts, settings: () => settings().sharedState, links: redisLinks });
  return {
    ...{ redisLinks, replicas },
    openAnswers: openAnswerCache(settings().answerCache, { part, clock, log, metrics, redis: redisLinks }),
    tenantBooks: openTenantBooks(settings(), {
      ...{ part, clock, links: redisLinks, tenants: parts.tenants },
      others: () => replicas.others,
    }),
  };
}
