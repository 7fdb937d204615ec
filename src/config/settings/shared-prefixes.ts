import type { Config } from '../schema/schema.ts';
import { ms } from './ms.ts';
import { storeSettings, type RedisMaterial } from './redis-sections.ts';
import type { SharedPrefixesSettings } from './shared-prefix-settings.ts';

export function sharedPrefixesSettings(
  config: Config,
  tls: RedisMaterial,
): SharedPrefixesSettings | undefined {
  const { shared_prefix_routing: section } = config;
  if (!section) return undefined;
  return {
    store: storeSettings(config, tls, { section: 'shared_prefix_routing', backend: section.backend }),
    prefixChars: section.prefix_chars,
    ttlMs: ms(section.ttl_secs),
    writeProbability: section.write_probability,
    readOnLocalMiss: section.read_on_local_miss,
    lookupMs: section.lookup_timeout_ms,
  };
}
