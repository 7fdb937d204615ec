import type { Config } from '../schema/schema.ts';
import type { TokenSettings } from './exact-tokens.ts';
import { ms } from './ms.ts';
import { storeSettings, type RedisMaterial } from './redis-sections.ts';

export function tokenSettings(config: Config, tls: RedisMaterial): TokenSettings {
  const { prompt_cache: cache } = config;
  return {
    exact: config.exact_tokens,
    timeoutMs: config.tokenize_timeout_ms,
    trustChatTemplates: config.trust_request_chat_template,
    paths: {
      byModel: Object.entries(config.tokenizer_model_map).toSorted(
        ([left], [right]) => right.length - left.length,
      ),
      otherwise: config.tokenizer_path ?? config.model_path,
    },
    shared: storeSettings(config, tls, { section: 'prompt_cache', backend: cache.backend }),
    cache: { maxBytes: cache.max_bytes, maxEntries: cache.max_entries, ttlMs: ms(cache.ttl_secs) },
  };
}
