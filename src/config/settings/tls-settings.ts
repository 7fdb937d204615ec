import type { CheckProblem } from '../schema/check-problem.ts';
import { PemFiles } from './pem-files.ts';
import { redisSectionsOf } from './redis-sections.ts';
import type { Config } from '../schema/schema.ts';
import type { ListenerTls, WorkerTls } from './settings.ts';
import type { WorkerTlsConfig } from '../schema/tls-schema.ts';
import { UrlPrefixes } from '../schema/url-prefixes.ts';

/** What stands in the certificate files that a configuration names. */
export interface TlsMaterial {
  readonly listener: ListenerTls | undefined;
  readonly workers: UrlPrefixes<WorkerTls>;
  /** By the name of the section. */
  readonly redis: Readonly<Record<string, WorkerTls>>;
}

export interface TlsReading extends TlsMaterial {
  readonly problems: readonly CheckProblem[];
  readonly notices: readonly string[];
  /** Absolute paths of what was read, or looked for. */
  readonly files: readonly string[];
}

export const NO_TLS: TlsMaterial = { listener: undefined, workers: UrlPrefixes.of<WorkerTls>({}), redis: {} };

/** Reads the files and sees whether they fit together. `now` is in ms since 1970. */
export function readTls(config: Config, cwd: string, now = Date.now()): TlsReading {
  const pem = new PemFiles(cwd);
  const notices: string[] = [];
  const listener = readListener(config, pem, notices, now);
  const general = readWorker(config.worker_tls, ['worker_tls'], pem, notices, now);
  const particular: Record<string, WorkerTls> = {};
  for (const [url, own] of Object.entries(config.worker_tls_overrides))
    particular[url] = readWorker(own, ['worker_tls_overrides', url], pem, notices, now);
  const workers = UrlPrefixes.of(particular, isPlain(general) ? undefined : general);
  const redis: Record<string, WorkerTls> = {};
  for (const [name, { tls }] of redisSectionsOf(config))
    if (tls) redis[name] = readWorker(tls, [name, 'redis', 'tls'], pem, notices, now);
  return { listener, workers, redis, problems: pem.problems, notices, files: pem.files };
}

function readListener(
  config: Config,
  pem: PemFiles,
  notices: string[],
  now: number,
): ListenerTls | undefined {
  const { ssl_certfile, ssl_keyfile, ssl_ca_certs, ssl_cert_reqs: clientCerts } = config;
  noteUseless(config, pem);
  const pair = pem.pair(
    { file: ssl_certfile, path: ['ssl_certfile'] },
    { file: ssl_keyfile, path: ['ssl_keyfile'] },
  );
  const clientCa = pem.authorities({ file: ssl_ca_certs, path: ['ssl_ca_certs'] });
  if (!pair) return undefined;
  const minVersion = config.ssl_min_version;
  pem.tryTogether({ cert: pair.cert, key: pair.key, ca: clientCa, minVersion }, ['ssl_certfile']);
  if (pair.expiresAt < now)
    notices.push(`ssl_certfile: the certificate expired on ${dayOf(pair.expiresAt)}: clients will refuse it`);
  return { ...pair, clientCerts, clientCa, minVersion };
}

/** Who names an authority for clients thinks that they are asked for certificates. */
function noteUseless(config: Config, pem: PemFiles): void {
  const { ssl_certfile, ssl_keyfile, ssl_ca_certs: ca, ssl_cert_reqs: clientCerts } = config;
  if (ssl_certfile === undefined && ssl_keyfile === undefined) {
    const message = 'has no effect without ssl_certfile and ssl_keyfile';
    if (ca !== undefined) pem.note(['ssl_ca_certs'], message);
    if (clientCerts !== 'none') pem.note(['ssl_cert_reqs'], message);
  } else if (clientCerts === 'none' && ca !== undefined)
    pem.note(['ssl_ca_certs'], 'has no effect while ssl_cert_reqs is none: make that optional or required');
  else if (clientCerts !== 'none' && ca === undefined)
    pem.note(['ssl_cert_reqs'], `${clientCerts} needs ssl_ca_certs`);
}

function readWorker(
  tls: WorkerTlsConfig,
  path: readonly PropertyKey[],
  pem: PemFiles,
  notices: string[],
  now: number,
): WorkerTls {
  const pair = pem.pair(
    { file: tls.cert_file, path: [...path, 'cert_file'] },
    { file: tls.key_file, path: [...path, 'key_file'] },
  );
  const ca = pem.authorities({ file: tls.ca_file, path: [...path, 'ca_file'] });
  if (pair) pem.tryTogether({ cert: pair.cert, key: pair.key, ca }, [...path, 'cert_file']);
  const name = path.join('.');
  if (pair && pair.expiresAt < now)
    notices.push(
      `${name}.cert_file: the certificate expired on ${dayOf(pair.expiresAt)}: workers will refuse it`,
    );
  const skip = [...path, 'insecure_skip_verify'];
  if (tls.insecure_skip_verify && tls.ca_file !== undefined)
    pem.note(skip, 'expected false beside ca_file, which would have no effect');
  else if (tls.insecure_skip_verify)
    notices.push(`${skip.join('.')}: certificates of workers are not checked`);
  return {
    ca,
    cert: pair?.cert,
    key: pair?.key,
    serverName: tls.server_name,
    verify: !tls.insecure_skip_verify,
  };
}

function isPlain({ ca, cert, serverName, verify }: WorkerTls): boolean {
  return ca === undefined && cert === undefined && serverName === undefined && verify;
}

const dayOf = (at: number): string => new Date(at).toISOString().slice(0, 10);
