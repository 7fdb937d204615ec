import type { CheckProblem } from '../schema/check-problem.ts';
import type { RedisConfig } from '../schema/redis-schema.ts';
import type { Config } from '../schema/schema.ts';
import { redisProblems, redisSettings, type RedisSettings, type StoreSettings } from './redis-settings.ts';
import type { WorkerTls } from './tls.ts';

/** Where a file may name a server. What a section leaves out, `cache` says. */
const SECTIONS = {
  cache: ({ cache }) => cache?.redis,
  semantic_cache: ({ semantic_cache: cache }) => cache.redis,
  prompt_cache: ({ prompt_cache: cache }) => cache.redis,
  shared_prefix_routing: ({ shared_prefix_routing: prefixes }) => prefixes?.redis,
  shared_state: ({ shared_state: shared }) => shared?.redis,
} as const satisfies Readonly<Record<string, (config: Config) => RedisConfig | undefined>>;

/** What the certificate files of the sections held, by their name. */
export interface RedisMaterial {
  readonly redis: Readonly<Record<string, WorkerTls>>;
}

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
  { redis: tls }: RedisMaterial,
): RedisSettings {
  const order = name === 'cache' ? [name] : ([name, 'cache'] as const);
  return redisSettings(order.map((one) => ({ config: SECTIONS[one](config), tls: tls[one] })));
}

/**
 * Where a section's values are kept; undefined: in the memory of the router. `backend` is as written: who names none shares them
 * where the routers share their state, on the same server.
 */
export function storeSettings(
  config: Config,
  tls: RedisMaterial,
  {
    section,
    backend = config.shared_state ? 'redis' : 'memory',
  }: {
    readonly section: 'prompt_cache' | 'shared_prefix_routing';
    readonly backend: 'memory' | 'redis' | undefined;
  },
): StoreSettings | undefined {
  if (backend === 'memory') return undefined;
  const order = [section, 'cache', 'shared_state'] as const;
  return {
    redis: redisSettings(order.map((one) => ({ config: SECTIONS[one](config), tls: tls.redis[one] }))),
    secret: config.shared_state?.secret,
  };
}

/** A server that answers were to be kept on, or so somebody thought. */
export function redisNotices(config: Config): readonly string[] {
  const { cache, shared_state: shared } = config;
  if (cache?.redis === undefined || cache.backend === 'redis') return [];
  const stores = [config.prompt_cache.backend, config.shared_prefix_routing?.backend];
  // Others take from it what they leave out.
  if (shared || config.semantic_cache.redis || stores.includes('redis')) return [];
  return ['cache.redis is not used: cache.backend is memory'];
}

export function redisChecks(config: Config): readonly CheckProblem[] {
  return redisSectionsOf(config).flatMap(([name, section]) => redisProblems(section, [name, 'redis']));
}
