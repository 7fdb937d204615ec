import type { Config } from '../schema/schema.ts';
import { ms } from './ms.ts';
import type { TokenSettings } from './settings.ts';

export function tokenSettings(config: Config): TokenSettings {
  const { prompt_cache: cache } = config;
  return {
    exact: config.exact_tokens,
    timeoutMs: config.tokenize_timeout_ms,
    trustChatTemplates: config.trust_request_chat_template,
    cache: { maxBytes: cache.max_bytes, maxEntries: cache.max_entries, ttlMs: ms(cache.ttl_secs) },
  };
}
