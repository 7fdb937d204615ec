import { connect } from 'node:net';
import { join } from 'node:path';
import { LOAD_CORE, spawnOn } from './cores.ts';
import { programOf, versionOf } from './debian.ts';
import { freePort, stopChild, until } from './processes.ts';

const PLACES = ['/usr/bin/redis-server', '/usr/local/bin/redis-server'];

/** A server of Redis, on the core of the load. */
export interface RedisTarget {
  readonly port: number;
  readonly version: string | undefined;
  /** Commands that it has carried out. */
  commands(): Promise<number>;
  stop(): Promise<void>;
}

export async function startRedis(
  dir: string,
  mayInstall: boolean,
): Promise<RedisTarget | { readonly missing: string }> {
  const program = programOf(PLACES, 'redis-server', mayInstall);
  if (program === undefined) return { missing: 'redis-server is not installed' };
  const port = await freePort();
  const flags = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--dir', dir];
  const log = ['--logfile', join(dir, 'redis.log')];
  const child = spawnOn(LOAD_CORE, program, [...flags, ...log], { stdio: 'ignore' });
  const commands = async (): Promise<number> =>
    Number(/^total_commands_processed:(\d+)/m.exec(await info(port))?.[1] ?? Number.NaN);
  await until('redis-server to listen', async () => (await info(port)) !== '');
  return { port, version: versionOf(program, '--version'), commands, stop: () => stopChild(child) };
}

/** What `INFO stats` says; empty where nobody answers. */
function info(port: number): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    const socket = connect({ port, host: '127.0.0.1' }, () => socket.end('INFO stats\r\nQUIT\r\n'));
    socket.setEncoding('utf8').on('data', (piece: string) => {
      text += piece;
    });
    socket
      .on('error', () => undefined)
      .on('close', () => {
        resolve(text);
      });
  });
}
