import type { Config } from '../schema/schema.ts';
import type { AnswerCacheSettings } from './answer-cache.ts';
import { ms } from './ms.ts';

export function answerCacheSettings({ cache }: Config): AnswerCacheSettings | undefined {
  return (
    cache && {
      backend: cache.backend,
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
