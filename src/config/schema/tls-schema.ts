import { isIP } from 'node:net';
import * as z from 'zod';
import { key, text } from './field.ts';
import { parseUrlPrefix } from './url-prefixes.ts';
import { WORKER_URL_FORMS } from './worker-url.ts';

const file = () => text().optional();

/** TLS sends names only; an address in a certificate is compared with the address that was connected to. */
export const serverName = () =>
  z
    .string()
    .regex(/^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/, 'expected a host name')
    .refine((name) => isIP(name) === 0, 'expected a host name, not an address')
    .optional();

/** The listener. Names as vLLM's own server has them. */
export const listenerTlsKeys = {
  ssl_certfile: key(file(), {
    group: 'Server',
    about: 'Certificate of the listener in PEM, the intermediate ones behind it: clients must use https.',
    value: 'FILE',
    defaultText: 'none: plain HTTP',
  }),
  ssl_keyfile: key(file(), {
    group: 'Server',
    about: 'Private key of ssl_certfile in PEM, without a passphrase.',
    value: 'FILE',
    defaultText: 'none',
  }),
  ssl_ca_certs: key(file(), {
    group: 'Server',
    about: 'Authorities in PEM that vouch for certificates of clients; see ssl_cert_reqs.',
    value: 'FILE',
    defaultText: 'none',
  }),
  ssl_cert_reqs: key(z.enum(['none', 'optional', 'required']).default('none'), {
    group: 'Server',
    about:
      "Whether clients must present a certificate that ssl_ca_certs vouches for; with optional a wrong one is refused, none is not. vLLM's 0, 1 and 2.",
  }),
  ssl_min_version: key(z.enum(['TLSv1.2', 'TLSv1.3']).default('TLSv1.2'), {
    group: 'Server',
    about: 'Oldest version of TLS that clients may use.',
  }),
  insecure: key(z.boolean().default(false), {
    group: 'Server',
    about:
      'That everybody who reaches the listener may use it is intended: no warning about it at the start.',
  }),
};

const baseUrl = z
  .string()
  .refine(
    (value) => parseUrlPrefix(value) !== undefined,
    `expected the base URL of a worker, or the beginning of several (${WORKER_URL_FORMS})`,
  );

const CA = 'Authorities in PEM that vouch for workers, in place of those of the system.';
const CERT = 'Certificate in PEM that the router presents to workers that ask for one.';
const KEY = 'Private key of cert_file in PEM, without a passphrase.';
const NAME = "Name that a worker's certificate must have, in place of the host in its URL.";
const SKIP =
  "Takes any certificate for a worker's. The connection is encrypted, but perhaps with somebody else.";

const override = z.strictObject({
  ca_file: file().meta({ description: CA }),
  cert_file: file().meta({ description: CERT }),
  key_file: file().meta({ description: KEY }),
  server_name: serverName().meta({ description: NAME }),
  insecure_skip_verify: z.boolean().default(false).meta({ description: SKIP }),
});

/** Connections to workers whose URL begins with https. */
export const workerTlsKeys = {
  worker_tls: z
    .strictObject({
      ca_file: key(file(), {
        group: 'Workers',
        about: CA,
        value: 'FILE',
        defaultText: 'those of the system',
      }),
      cert_file: key(file(), { group: 'Workers', about: CERT, value: 'FILE', defaultText: 'none' }),
      key_file: key(file(), { group: 'Workers', about: KEY, value: 'FILE', defaultText: 'none' }),
      server_name: key(serverName(), {
        group: 'Workers',
        about: NAME,
        value: 'HOST',
        defaultText: 'the host in the URL',
      }),
      insecure_skip_verify: key(z.boolean().default(false), { group: 'Workers', about: SKIP }),
    })
    .prefault({}),
  worker_tls_overrides: key(z.record(baseUrl, override).default({}), {
    group: 'Workers',
    flags: [],
    env: false,
    about:
      'worker_tls for single workers, by base URL or the beginning of it; an entry stands in place of all of worker_tls.',
  }),
};

export type WorkerTlsConfig = z.output<typeof override>;
