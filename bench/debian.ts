import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

/** The first of these programs that is there, or what the distribution's package brings; installed where that is possible. */
export function programOf(
  places: readonly string[],
  debianPackage: string,
  mayInstall: boolean,
): string | undefined {
  const find = (): string | undefined => places.find((path) => existsSync(path));
  return find() ?? (mayInstall && install(debianPackage) ? find() : undefined);
}

/** The version in what a program prints about itself. */
export function versionOf(program: string, flag: string): string | undefined {
  const { stdout, stderr } = spawnSync(program, [flag], { encoding: 'utf8' });
  return /\d+\.\d+(?:\.\d+)*/.exec(`${stdout}${stderr}`)?.[0];
}

function install(debianPackage: string): boolean {
  if (process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) return false;
  process.stderr.write(`installing ${debianPackage} (once) ...\n`);
  const apt = (...args: string[]): boolean =>
    spawnSync('apt-get', ['-qq', ...args], {
      stdio: 'ignore',
      timeout: 120_000,
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' },
    }).status === 0;
  apt('update');
  return apt('install', '-y', '--no-install-recommends', debianPackage);
}
