/** What the listener proves itself with, and what it asks of clients. */
export interface ListenerTls {
  /** PEM, the chain behind the certificate. */
  readonly cert: string;
  readonly key: string;
  /** When the certificate ends, ms since 1970. */
  readonly expiresAt: number;
  readonly clientCerts: 'none' | 'optional' | 'required';
  /** Who vouches for certificates of clients; PEM. Set unless `clientCerts` is none. */
  readonly clientCa: string | undefined;
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3';
}

/** How connections to `https://` workers are made. */
export interface WorkerTls {
  /** PEM, in place of the authorities of the system. */
  readonly ca: string | undefined;
  /** What the router presents where it is asked for it; PEM, both or neither. */
  readonly cert: string | undefined;
  readonly key: string | undefined;
  /** The name that the certificate must have, in place of the host in the URL. */
  readonly serverName: string | undefined;
  /** False: any certificate is taken. */
  readonly verify: boolean;
}
