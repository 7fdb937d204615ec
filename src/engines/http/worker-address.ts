import { isIP } from 'node:net';

/** Where a worker listens, in the words of `net.connect`, and how requests to it name it. */
export interface WorkerAddress {
  readonly tls: boolean;
  readonly connect: { readonly host: string; readonly port: number } | { readonly path: string };
  /** The `Host` header. */
  readonly authority: string;
  /** In front of every path; empty or `/one/two`. */
  readonly prefix: string;
  /** Name to ask for in TLS; undefined for IP addresses, which have none (RFC 6066 3). */
  readonly serverName: string | undefined;
}

/** `baseUrl` has been checked: `http(s)://host[:port][/prefix]` or `unix:///path`. */
export function parseBaseUrl(baseUrl: string): WorkerAddress {
  if (baseUrl.startsWith('unix://')) {
    const path = baseUrl.slice('unix://'.length);
    return { tls: false, connect: { path }, authority: 'localhost', prefix: '', serverName: undefined };
  }
  const { protocol, host, hostname, port, pathname } = new URL(baseUrl);
  const tls = protocol === 'https:';
  const bare = hostname.startsWith('[') ? hostname.slice(1, -1) : hostname;
  return {
    tls,
    connect: { host: bare, port: port === '' ? (tls ? 443 : 80) : Number(port) },
    authority: host,
    prefix: pathname === '/' ? '' : pathname,
    serverName: isIP(bare) === 0 ? bare : undefined,
  };
}
