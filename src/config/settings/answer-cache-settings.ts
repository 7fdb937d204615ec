import type { Config } from '../schema/schema.ts';
import type { AnswerCacheSettings } from './answer-cache.ts';
import { redisFor } from './redis-sections.ts';
import type { TlsMaterial } from './tls-settings.ts';
import { ms } from './ms.ts';

export function answerCacheSettings(config: Config, tls: TlsMaterial): AnswerCacheSettings | undefined {
  const { cache } = config;
  return (
    cache && {
      redis: cache.backend === 'redis' ? redisFor('cache', config, tls) : undefined,
      secret: config.shared_state?.secret,
      maxEntries: cache.max_entries,
      maxBytes: cache.max_bytes,
      maxEntryBytes: cache.max_entry_bytes,
      ttlMs: ms(cache.ttl_secs),
      sampled: cache.sampled,
      sharedBetweenTenants: cache.shared_between_tenants,
      charge: cache.charge,
      coalesce: cache.coalesce,
    }
  );
}
