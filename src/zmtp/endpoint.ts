/** Where a socket of ZeroMQ listens or connects to. */
export type Endpoint =
  /** `host` undefined: every address of this machine. */
  | { readonly kind: 'tcp'; readonly host: string | undefined; readonly port: number }
  | { readonly kind: 'ipc'; readonly path: string };

/** `tcp://host:port`, `tcp://[::1]:port`, `tcp://*:port` or `ipc://path`; undefined where it is none of them. */
export function readEndpoint(text: string): Endpoint | undefined {
  if (text.startsWith('ipc://')) {
    const path = text.slice('ipc://'.length);
    return path === '' ? undefined : { kind: 'ipc', path };
  }
  const [, bracketed, plain, digits = ''] =
    /^tcp:\/\/(?:\[([0-9a-fA-F:.]+)\]|([^\s:/[\]]+)):(\d{1,5})$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  const port = Number(digits);
  if (host === undefined || port > 65535) return undefined;
  return { kind: 'tcp', host: host === '*' ? undefined : host, port };
}

export function showEndpoint(endpoint: Endpoint): string {
  if (endpoint.kind === 'ipc') return `ipc://${endpoint.path}`;
  const host = endpoint.host ?? '*';
  return `tcp://${host.includes(':') ? `[${host}]` : host}:${endpoint.port}`;
}
