import type { Settings } from '../config/settings/settings.ts';
import type { Tenants } from '../limits/tenants.ts';
import { openAnswerCache, type OpenAnswerCache } from './open-answer-cache.ts';
import { openTenantBooks, type OpenTenantBooks } from './open-tenant-books.ts';
import { openReplicas, type OpenReplicas, type ReplicaParts } from './open-replicas.ts';

interface Parts extends Omit<ReplicaParts, 'settings'> {
  /** Those in force. */
  readonly settings: () => Settings;
  readonly tenants: () => Tenants;
}

/** What may be kept on servers of Redis, over the links of this thread. Nothing is asked of `index` and `tenants` before the start. */
export function openSharing(parts: Parts): {
  readonly openAnswers: OpenAnswerCache;
  readonly replicas: OpenReplicas;
  readonly tenantBooks: OpenTenantBooks;
} {
  const { part, clock, log, metrics, links, settings } = parts;
  const replicas = openReplicas({ ...parts, settings: () => settings().sharedState });
  return {
    replicas,
    openAnswers: openAnswerCache(settings().answerCache, { part, clock, log, metrics, redis: links }),
    tenantBooks: openTenantBooks(settings(), {
      ...{ part, clock, links, tenants: parts.tenants },
      others: () => replicas.others,
    }),
  };
}
