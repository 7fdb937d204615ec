import type { RedisSettings } from './redis-settings.ts';

/** What several routers in front of one fleet have in common. */
export interface SharedStateSettings {
  readonly redis: RedisSettings;
  /** What they tell each other is signed with it. */
  readonly secret: string | undefined;
  /** How often loads that have changed are told. */
  readonly intervalMs: number;
}
