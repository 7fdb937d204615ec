/** Real servers of Redis and Valkey for tests: one, with TLS, a replica of another, a Cluster, or watched by a Sentinel. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { Redis } from 'ioredis';
import { start, type Program } from '../programs.ts';
import { freePort } from './free-port.ts';
import { redisProgram, type RedisKind } from './redis-program.ts';

export interface RedisOptions {
  readonly kind?: RedisKind;
  /** More arguments of the program, e.g. `--maxmemory`, `2mb`. */
  readonly args?: readonly string[];
  /** PEM texts: it speaks nothing but TLS then. */
  readonly tls?: { readonly cert: string; readonly key: string; readonly ca?: string };
  readonly sentinel?: boolean;
}

export interface RedisServer {
  readonly port: number;
  readonly at: string;
  readonly url: string;
  /** Asks it over a connection that nothing else uses. */
  ask(...command: readonly (string | number)[]): Promise<unknown>;
  /** SIGSTOP freezes it: connections are taken, nothing is answered. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void;
  /** Resolves when it is gone. */
  kill(): Promise<void>;
  /** On the same port, with nothing in it. */
  restart(): Promise<void>;
}

/** Undefined: there is no such server on this machine, and the test has been skipped with the reason. */
export async function startRedis(
  t: TestContext,
  options: RedisOptions = {},
): Promise<RedisServer | undefined> {
  const { kind = 'redis' } = options;
  const program = await redisProgram(kind);
  if (program.kind === 'absent') {
    t.skip(program.reason);
    return undefined;
  }
  const dir = mkdtempSync(join(tmpdir(), `vllm-router-${kind}-`));
  t.after(() => {
    rmSync(dir, { recursive: true, force: true });
  });
  const port = await freePort();
  return open(t, program.path, { ...options, dir, port });
}

async function open(
  t: TestContext,
  path: string,
  options: RedisOptions & { readonly dir: string; readonly port: number },
): Promise<RedisServer> {
  const { dir, port, tls } = options;
  const args = argumentsFor(options);
  let program: Program;
  const launch = async (): Promise<void> => {
    program = start(t, path, args, { cwd: dir });
    await program.printed(/Ready to accept connections|Sentinel ID is/);
  };
  await launch();
  const connect = (): Redis =>
    new Redis({
      port,
      host: '127.0.0.1',
      ...(tls && { tls: { rejectUnauthorized: false } }),
      replyMapping: 'legacy',
    });
  const server: RedisServer = {
    ...{ port, at: `127.0.0.1:${port}`, url: `${tls ? 'rediss' : 'redis'}://127.0.0.1:${port}` },
    async ask(command, ...rest) {
      const redis = connect();
      redis.on('error', () => undefined);
      try {
        return await redis.call(String(command), ...rest);
      } finally {
        redis.disconnect();
      }
    },
    signal(signal) {
      program.child.kill(signal);
    },
    async kill() {
      program.child.kill('SIGKILL');
      await program.ended;
    },
    async restart() {
      await server.kill();
      await launch();
    },
  };
  return server;
}

function argumentsFor({
  dir,
  port,
  tls,
  sentinel = false,
  args = [],
}: RedisOptions & { readonly dir: string; readonly port: number }): string[] {
  const given = ['--bind', '127.0.0.1', ...args];
  if (!sentinel) given.push('--save', '', '--appendonly', 'no', '--dir', dir);
  if (!tls) return [...configFile(dir, sentinel), '--port', String(port), ...given];
  const files = { 'cert.pem': tls.cert, 'key.pem': tls.key, 'ca.pem': tls.ca ?? tls.cert };
  for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, name), text);
  const at = (name: string): string => join(dir, name);
  return [
    ...configFile(dir, sentinel),
    ...['--port', '0', '--tls-port', String(port), '--tls-auth-clients', tls.ca === undefined ? 'no' : 'yes'],
    ...[
      '--tls-cert-file',
      at('cert.pem'),
      '--tls-key-file',
      at('key.pem'),
      '--tls-ca-cert-file',
      at('ca.pem'),
    ],
    ...given,
  ];
}

/** A Sentinel needs a file that it can write. */
function configFile(dir: string, sentinel: boolean): string[] {
  if (!sentinel) return [];
  writeFileSync(join(dir, 'sentinel.conf'), '');
  return [join(dir, 'sentinel.conf'), '--sentinel'];
}
