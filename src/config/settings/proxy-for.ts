import type { ProxyAddress } from './external-settings.ts';

type Variables = Readonly<Record<string, string | undefined>>;

/** `bad` completes "HTTPS_PROXY: ..."; it quotes nothing, since there may be a password in it. */
export type ProxySetting =
  | { readonly kind: 'none' }
  | { readonly kind: 'proxy'; readonly address: ProxyAddress }
  | { readonly kind: 'bad'; readonly problem: string };

const NONE = { kind: 'none' } as const;

/**
 * The proxy for a provider, out of `HTTPS_PROXY` and `NO_PROXY`, in small letters too, as curl reads them. Only what is
 * encrypted goes through one: it sees host and port, and nothing else.
 */
export function proxyFor(baseUrl: string, variables: Variables): ProxySetting {
  if (!baseUrl.startsWith('https://')) return NONE;
  const given = setIn(variables, 'https_proxy');
  if (given === undefined) return NONE;
  const { hostname, port } = new URL(baseUrl);
  if (isExempt(hostname, port === '' ? '443' : port, setIn(variables, 'no_proxy') ?? '')) return NONE;
  return parsed(given);
}

/** The same, where it has been found to be one: the start says what is wrong with it. */
export function proxyOf(baseUrl: string, variables: Variables): ProxyAddress | undefined {
  const found = proxyFor(baseUrl, variables);
  return found.kind === 'proxy' ? found.address : undefined;
}

function setIn(variables: Variables, name: string): string | undefined {
  const value = variables[name] ?? variables[name.toUpperCase()];
  return value === undefined || value.trim() === '' ? undefined : value.trim();
}

function parsed(given: string): ProxySetting {
  const url = URL.parse(/^[a-z][a-z0-9+.-]*:\/\//i.test(given) ? given : `http://${given}`);
  if (!url || url.protocol !== 'http:' || url.hostname === '')
    return { kind: 'bad', problem: 'expected http://host:port, the only kind of proxy that is used' };
  const credentials = credentialsOf(url);
  if (credentials === undefined)
    return { kind: 'bad', problem: 'expected user and password percent-encoded' };
  return {
    kind: 'proxy',
    address: {
      host: url.hostname.replace(/^\[|\]$/g, ''),
      port: url.port === '' ? 80 : Number(url.port),
      authorization: credentials === ':' ? undefined : `Basic ${Buffer.from(credentials).toString('base64')}`,
    },
  };
}

function credentialsOf({ username, password }: URL): string | undefined {
  try {
    return `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  } catch {
    return undefined;
  }
}

/** `*`, a host, the end of a host (`.example.com`, or `example.com`, which is itself among them), each with a port where wished. */
function isExempt(host: string, port: string, list: string): boolean {
  const bare = host.replace(/^\[|\]$/g, '').toLowerCase();
  return list
    .split(/[,\s]/)
    .filter((entry) => entry !== '')
    .some((entry) => {
      if (entry === '*') return true;
      const [, name = '', only] =
        /^(\[[^\]]*\]|[^:]*|[^:]*:.*:.*?)(?::(\d+))?$/.exec(entry.toLowerCase()) ?? [];
      if (only !== undefined && only !== port) return false;
      const plain = name.replace(/^\[|\]$/g, '').replace(/^\*?\./, '');
      return plain !== '' && (bare === plain || bare.endsWith(`.${plain}`));
    });
}
