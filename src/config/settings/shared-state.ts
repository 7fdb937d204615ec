import type { Config } from '../schema/schema.ts';
import { redisSettings } from './redis-settings.ts';
import type { SharedStateSettings } from './shared-state-settings.ts';
import type { WorkerTls } from './tls.ts';

/** Undefined where this router is the only one, as far as it knows. `tls`: what the certificate files of its section held. */
export function sharedStateSettings(
  { shared_state: section }: Config,
  tls: WorkerTls | undefined,
): SharedStateSettings | undefined {
  if (!section) return undefined;
  return {
    redis: redisSettings([{ config: section.redis, tls }]),
    secret: section.secret,
    intervalMs: section.interval_ms,
  };
}
