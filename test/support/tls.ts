import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Agent, fetch as undiciFetch } from 'undici';
import type { ConnectionOptions } from 'node:tls';
import { authority, type Authority, type SelfSigned } from './self-signed.ts';

/** Certificates on disk, and an authority that signs more of them. */
export interface CertificateFiles extends Disposable {
  readonly ca: Authority;
  /** Writes a file and returns its path. */
  write(name: string, content: string): string;
  /** Options of the router for a listener with a certificate of the authority. */
  readonly listener: { readonly sslCertfile: string; readonly sslKeyfile: string };
  /** Writes another certificate in its place. */
  renew(pair: SelfSigned): void;
}

export function certificateFiles(): CertificateFiles {
  const folder = mkdtempSync(join(tmpdir(), 'vllm-router-tls-'));
  const ca = authority();
  const write = (name: string, content: string): string => {
    const path = join(folder, name);
    writeFileSync(path, content);
    return path;
  };
  const listener = { sslCertfile: join(folder, 'server.crt'), sslKeyfile: join(folder, 'server.key') };
  const renew = ({ cert, key }: SelfSigned): void => {
    write('server.crt', cert);
    write('server.key', key);
  };
  renew(ca.issue());
  return {
    ...{ ca, write, listener, renew },
    [Symbol.dispose]: () => {
      rmSync(folder, { recursive: true });
    },
  };
}

/** `fetch` as a client with these TLS options does it; `close` ends its connections. */
export function tlsClient(options: ConnectionOptions): { fetch: typeof fetch; close: () => Promise<void> } {
  const dispatcher = new Agent({ connect: options as object });
  return {
    // undici's own fetch: that of Node takes only the agents of the undici inside Node. Their types differ in name only.
    fetch: ((url: string, init: RequestInit = {}) =>
      undiciFetch(url, { ...(init as object), dispatcher })) as unknown as typeof fetch,
    close: () => dispatcher.close(),
  };
}
