export const REDIS_URL_FORMS =
  'redis://host:port/database, rediss:// (TLS), valkey:// or valkeys://, with user:password@ where needed';

const SCHEMES: Readonly<Record<string, { readonly tls: boolean }>> = {
  'redis:': { tls: false },
  'valkey:': { tls: false },
  'rediss:': { tls: true },
  'valkeys:': { tls: true },
};

const DEFAULT_PORT = 6379;
const MOST_DATABASE = 9999;

export interface HostAndPort {
  /** Without the brackets of an IPv6 address. */
  readonly host: string;
  readonly port: number;
}

export interface RedisUrl extends HostAndPort {
  readonly tls: boolean;
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly database: number;
}

/** Undefined where the text is no such URL. Options in a query are none of ours, so they are refused rather than ignored. */
export function parseRedisUrl(given: string): RedisUrl | undefined {
  const url = URL.parse(given);
  const scheme = url && SCHEMES[url.protocol];
  if (!scheme || url.hostname === '' || url.search !== '' || url.hash !== '') return undefined;
  const database = databaseIn(url.pathname);
  const username = decoded(url.username);
  const password = decoded(url.password);
  if (database === undefined || username === undefined || password === undefined) return undefined;
  return {
    tls: scheme.tls,
    host: withoutBrackets(url.hostname),
    port: url.port === '' ? DEFAULT_PORT : Number(url.port),
    username: username === '' ? undefined : username,
    password: password === '' ? undefined : password,
    database,
  };
}

/** `host`, `host:port` or `[address]:port`. */
export function parseHostAndPort(given: string, defaultPort = DEFAULT_PORT): HostAndPort | undefined {
  const [, host, port] = /^(\[[0-9A-Fa-f:.]+\]|[^\s/:@?#[\]]+)(?::(\d{1,5}))?$/.exec(given) ?? [];
  if (host === undefined) return undefined;
  const number = port === undefined ? defaultPort : Number(port);
  return number >= 1 && number <= 65_535 ? { host: withoutBrackets(host), port: number } : undefined;
}

function databaseIn(path: string): number | undefined {
  const [, digits] = /^\/?(\d*)$/.exec(path) ?? [];
  if (digits === undefined) return undefined;
  const database = Number(digits);
  return database <= MOST_DATABASE ? database : undefined;
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

function withoutBrackets(host: string): string {
  return host.replace(/^\[(.*)\]$/, '$1');
}
