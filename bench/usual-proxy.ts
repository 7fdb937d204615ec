import { mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { spawnOn, TARGET_CORE } from './cores.ts';
import { programOf, versionOf } from './debian.ts';
import { freePort, statusOf, stopChild, until } from './processes.ts';
import type { Target, TargetPlace } from './targets.ts';

/** A reverse proxy that the distribution has. */
export interface UsualProxy {
  readonly name: string;
  readonly debianPackage: string;
  /** Where its program may be. */
  readonly places: readonly string[];
  readonly versionFlag: string;
  /** Writes its configuration into `dir` and returns its arguments. */
  readonly prepare: (port: number, workers: readonly number[], dir: string) => readonly string[];
}

/** Starts it in front of these workers; installed from the distribution where that is possible. */
export async function startUsualProxy(
  proxy: UsualProxy,
  place: TargetPlace,
): Promise<Target | { readonly missing: string }> {
  const { name } = proxy;
  const program = programOf(proxy.places, proxy.debianPackage, place.mayInstall);
  if (program === undefined)
    return { missing: `${name} is not installed, and could not be (apt-get as root would be needed)` };
  const dir = join(place.dir, name);
  mkdirSync(dir, { recursive: true });
  const port = await freePort();
  const args = proxy.prepare(port, place.workerPorts, dir);
  const log = openSync(join(dir, 'output.log'), 'w');
  const child = spawnOn(TARGET_CORE, program, args, { stdio: ['ignore', log, log] });
  const { pid } = child;
  if (pid === undefined) return { missing: `${program} did not start` };
  const version = versionOf(program, proxy.versionFlag);
  const target = { name, version, ports: [port], pid, stop: () => stopChild(child) };
  try {
    await until(`${name} to answer`, async () => {
      if (child.exitCode !== null)
        throw new Error(`${name} stopped with exit code ${child.exitCode}; see ${dir}`);
      return (await statusOf(port, '/health')) === 200;
    });
  } catch (error) {
    await target.stop();
    return { missing: error instanceof Error ? error.message : String(error) };
  }
  return target;
}
