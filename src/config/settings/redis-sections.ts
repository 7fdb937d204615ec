import type { CheckProblem } from '../schema/check-problem.ts';
import type { RedisConfig } from '../schema/redis-schema.ts';
import type { Config } from '../schema/schema.ts';
import { redisProblems, redisSettings, type RedisSettings } from './redis-settings.ts';
import type { WorkerTls } from './tls.ts';

/** Where a file may name a server. What a section leaves out, `cache` says. */
const SECTIONS = {
  cache: ({ cache }) => cache?.redis,
  semantic_cache: ({ semantic_cache: cache }) => cache.redis,
  shared_state: ({ shared_state: shared }) => shared?.redis,
} as const satisfies Readonly<Record<string, (config: Config) => RedisConfig | undefined>>;

export type RedisSectionName = keyof typeof SECTIONS;

/** Those that are there, by name. */
export function redisSectionsOf(config: Config): readonly (readonly [RedisSectionName, RedisConfig])[] {
  // The keys of a constant.
  const names = Object.keys(SECTIONS) as RedisSectionName[];
  return names.flatMap((name) => {
    const section = SECTIONS[name](config);
    return section ? [[name, section] as const] : [];
  });
}

/** The server of a part that wants one. */
export function redisFor(
  name: RedisSectionName,
  config: Config,
  { redis: tls }: { readonly redis: Readonly<Record<string, WorkerTls>> },
): RedisSettings {
  const order = name === 'cache' ? [name] : ([name, 'cache'] as const);
  return redisSettings(order.map((one) => ({ config: SECTIONS[one](config), tls: tls[one] })));
}

export function redisChecks(config: Config): readonly CheckProblem[] {
  return redisSectionsOf(config).flatMap(([name, section]) => redisProblems(section, [name, 'redis']));
}
