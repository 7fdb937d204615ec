import type { Config } from '../schema/schema.ts';
import { redisFor } from './redis-sections.ts';
import type { SharedStateSettings } from './shared-state-settings.ts';
import type { TlsMaterial } from './tls-settings.ts';

/** Undefined where this router is the only one, as far as it knows. */
export function sharedStateSettings(config: Config, tls: TlsMaterial): SharedStateSettings | undefined {
  const { shared_state: section } = config;
  if (!section) return undefined;
  return {
    redis: redisFor('shared_state', config, tls),
    secret: section.secret,
    intervalMs: section.interval_ms,
  };
}
