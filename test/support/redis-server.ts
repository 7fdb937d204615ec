/** Real servers of Redis and Valkey for tests: one, with TLS, a replica of another, a Cluster, or watched by a Sentinel. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { setTimeout as pause } from 'node:timers/promises';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { start, type Program } from '../programs.ts';
import { freePort } from './free-port.ts';
import { redisProgram, type RedisKind } from './redis-program.ts';

/** Where servers are started for one test, or for several. */
export interface Host {
  readonly after: (end: () => void | Promise<void>) => void;
  readonly skip: (reason?: string) => void;
}

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
export async function startRedis(t: Host, options: RedisOptions = {}): Promise<RedisServer | undefined> {
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
  t: Host,
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

/** Masters that share all slots. Undefined: see `startRedis`. */
export async function startCluster(
  t: Host,
  options: RedisOptions & { readonly masters?: number } = {},
): Promise<readonly RedisServer[] | undefined> {
  const nodes: RedisServer[] = [];
  const buses: number[] = [];
  const { masters = 3, args = [] } = options;
  for (let at = 0; at < masters; at++) {
    const bus = await freePort();
    const cluster = ['--cluster-enabled', 'yes', '--cluster-port', String(bus)];
    const node = await startRedis(t, { ...options, args: [...cluster, ...args] });
    if (!node) return undefined;
    nodes.push(node);
    buses.push(bus);
  }
  const share = Math.ceil(SLOTS / masters);
  for (const [at, node] of nodes.entries()) {
    await node.ask('cluster', 'set-config-epoch', at + 1);
    await node.ask('cluster', 'addslotsrange', at * share, Math.min(SLOTS, (at + 1) * share) - 1);
    await node.ask('cluster', 'meet', '127.0.0.1', nodes[0]!.port, buses[0]!);
  }
  for (const node of nodes)
    await untilSaid(async () => {
      const info = String(await node.ask('cluster', 'info'));
      return info.includes('cluster_state:ok') && info.includes(`cluster_known_nodes:${masters}`);
    });
  return nodes;
}

const SLOTS = 16_384;

export interface WatchedServers {
  readonly master: RedisServer;
  readonly replica: RedisServer;
  readonly sentinel: RedisServer;
}

/** A master, its replica and one Sentinel that calls them `group` and acts within half a second. */
export async function startWatched(
  t: Host,
  group: string,
  options: RedisOptions = {},
): Promise<WatchedServers | undefined> {
  const master = await startRedis(t, options);
  if (!master) return undefined;
  const replica = await startRedis(t, {
    ...options,
    args: ['--replicaof', '127.0.0.1', String(master.port)],
  });
  const sentinel = await startRedis(t, { ...options, sentinel: true });
  if (!replica || !sentinel) return undefined;
  await untilSaid(async () =>
    String(await replica.ask('info', 'replication')).includes('master_link_status:up'),
  );
  await sentinel.ask('sentinel', 'monitor', group, '127.0.0.1', master.port, 1);
  await sentinel.ask('sentinel', 'set', group, 'down-after-milliseconds', 500);
  await sentinel.ask('sentinel', 'set', group, 'failover-timeout', 2000);
  // It hears of the replica from the master, every ten seconds; asked anew, at once.
  await untilSaid(async () => {
    const replicas = await sentinel.ask('sentinel', 'replicas', group);
    return Array.isArray(replicas) && replicas.length === 1;
  });
  return { master, replica, sentinel };
}

/** Servers can only be asked. */
async function untilSaid(isSo: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!(await isSo().catch(() => false))) {
    if (performance.now() > deadline) throw new Error('servers did not come together within 20 s');
    await pause(20);
  }
}
