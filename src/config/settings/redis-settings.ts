import { parseHostAndPort, parseRedisUrl, type HostAndPort } from '../schema/redis-url.ts';
import type { RedisConfig } from '../schema/redis-schema.ts';
import type { CheckProblem } from '../schema/check-problem.ts';
import type { WorkerTls } from './tls.ts';

/** Who keeps the keys: one server, the master that Sentinels name, or a Cluster. */
export type RedisServer =
  | { readonly kind: 'single'; readonly at: HostAndPort }
  | {
      readonly kind: 'sentinel';
      readonly sentinels: readonly HostAndPort[];
      readonly group: string;
      readonly username: string | undefined;
      readonly password: string | undefined;
    }
  | { readonly kind: 'cluster'; readonly nodes: readonly HostAndPort[] };

export interface RedisSettings {
  /** How it is named in logs and metrics: never with a user or password. */
  readonly name: string;
  readonly server: RedisServer;
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly database: number;
  /** Undefined: plain. */
  readonly tls: WorkerTls | undefined;
  readonly keyPrefix: string;
  /** Most connections of a thread. */
  readonly poolSize: number;
  /** For a connection, its handshake included. */
  readonly connectMs: number;
  readonly commandMs: number;
}

/** What several routers keep for each other, and where. */
export interface StoreSettings {
  readonly redis: RedisSettings;
  /** What they write is signed with it, and nothing else is read. */
  readonly secret: string | undefined;
}

/** As the reference routers have them. */
const DEFAULTS = {
  url: 'redis://127.0.0.1:6379/0',
  key_prefix: 'vllm-router:',
  pool_size: 8,
  connection_timeout_ms: 3000,
  command_timeout_ms: 500,
} as const;

const DEFAULT_SENTINEL_PORT = 26_379;

/** Any certificate of an authority of the system. */
const SYSTEM_TLS: WorkerTls = {
  ca: undefined,
  cert: undefined,
  key: undefined,
  serverName: undefined,
  verify: true,
};

/** A section of the file, and what its certificate files held. */
export interface RedisSection {
  readonly config: RedisConfig | undefined;
  readonly tls: WorkerTls | undefined;
}

/**
 * Of several sections the first one that names a server says which it is, who the router is there and how TLS is spoken; every
 * other key is the first one that is set. Without any it is a server on this machine.
 */
export function redisSettings(sections: readonly RedisSection[]): RedisSettings {
  const { config = {}, tls } = sections.find(({ config: one }) => namesServer(one)) ?? {};
  const first = <K extends 'key_prefix' | 'pool_size' | 'connection_timeout_ms' | 'command_timeout_ms'>(
    name: K,
  ): NonNullable<RedisConfig[K]> | (typeof DEFAULTS)[K] => {
    const found = sections.find(({ config: one }) => one?.[name] !== undefined)?.config?.[name];
    return found ?? DEFAULTS[name];
  };
  const reached = serverOf(config, tls);
  return {
    ...reached,
    name: nameOf(reached),
    keyPrefix: first('key_prefix'),
    poolSize: first('pool_size'),
    connectMs: first('connection_timeout_ms'),
    commandMs: first('command_timeout_ms'),
  };
}

export function namesServer(config: RedisConfig | undefined): boolean {
  return config?.url !== undefined || config?.nodes !== undefined || config?.sentinels !== undefined;
}

type Reached = Pick<RedisSettings, 'server' | 'username' | 'password' | 'database' | 'tls'>;

function serverOf(config: RedisConfig, tls: WorkerTls | undefined): Reached {
  const { username, password, database = 0 } = config;
  const encrypted = config.tls && (tls ?? SYSTEM_TLS);
  if (config.nodes) {
    const server = { kind: 'cluster', nodes: addressesIn(config.nodes) } as const;
    return { server, username, password, database: 0, tls: encrypted };
  }
  if (config.sentinels) {
    const server = {
      kind: 'sentinel',
      sentinels: addressesIn(config.sentinels, DEFAULT_SENTINEL_PORT),
      group: config.sentinel_name ?? '',
      username: config.sentinel_username,
      password: config.sentinel_password,
    } as const;
    return { server, username, password, database, tls: encrypted };
  }
  const url = parseRedisUrl(config.url ?? DEFAULTS.url);
  if (!url) throw new Error('the URL of a redis section has passed the schema');
  return {
    server: { kind: 'single', at: { host: url.host, port: url.port } },
    username: username ?? url.username,
    password: password ?? url.password,
    database: url.database,
    tls: url.tls ? (tls ?? SYSTEM_TLS) : undefined,
  };
}

function addressesIn(texts: readonly string[], defaultPort?: number): HostAndPort[] {
  return texts.flatMap((text) => parseHostAndPort(text, defaultPort) ?? []);
}

/** What of a section does not go together. `path` leads to it. */
export function redisProblems(
  config: RedisConfig | undefined,
  path: readonly PropertyKey[],
): readonly CheckProblem[] {
  if (!config) return [];
  const problems: CheckProblem[] = [];
  const note = (name: keyof RedisConfig, message: string): void => {
    problems.push({ path: [...path, name], message });
  };
  const [server, ...others] = (['url', 'nodes', 'sentinels'] as const).filter(
    (name) => config[name] !== undefined,
  );
  for (const other of others) note(other, `stands beside ${server}: expected one of them`);
  if (server === undefined)
    for (const name of OF_A_SERVER)
      if (config[name] !== undefined) note(name, 'needs url, nodes or sentinels');
  if (server === 'sentinels' && config.sentinel_name === undefined)
    note('sentinels', 'needs sentinel_name beside it');
  if (server !== undefined && server !== 'sentinels')
    for (const name of OF_SENTINELS)
      if (config[name] !== undefined) note(name, 'has no effect without sentinels');
  if (server === 'url' && config.database !== undefined)
    note('database', 'expected in url: redis://host:port/database');
  if (server === 'nodes' && config.database !== undefined)
    note('database', 'a Cluster has no databases but the first');
  if (server === 'url' && config.tls && parseRedisUrl(config.url ?? '')?.tls === false)
    note('tls', 'has no effect on this url: begin it with rediss:// or valkeys://');
  return problems;
}

const OF_SENTINELS = ['sentinel_name', 'sentinel_username', 'sentinel_password'] as const;
const OF_A_SERVER = ['username', 'password', 'database', 'tls', ...OF_SENTINELS] as const;

function nameOf({ server, database }: Reached): string {
  switch (server.kind) {
    case 'single':
      return `${shown(server.at)}/${database}`;
    case 'sentinel':
      return `${server.group}/${database}`;
    case 'cluster':
      return server.nodes.slice(0, 1).map(shown).join('');
  }
}

function shown({ host, port }: HostAndPort): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
