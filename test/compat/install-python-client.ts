import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { run, type Ended } from '../programs.ts';

export type InstalledPython =
  | { readonly kind: 'installed'; readonly python: string }
  /** The reason to skip by. */
  | { readonly kind: 'absent'; readonly reason: string };

const ROOT = resolve(import.meta.dirname, '../..');
const REQUIREMENTS = join(import.meta.dirname, 'python-requirements.txt');
const CACHE = join(ROOT, '.cache');
const FOLDER = join(CACHE, 'python-client');
const PYTHON =
  process.platform === 'win32' ? join(FOLDER, 'Scripts', 'python.exe') : join(FOLDER, 'bin', 'python');
/** Written last, so that an install cut short is done again. */
const STAMP = join(FOLDER, '.installed-from');
const OLDEST = [3, 10];

/**
 * Brings a Python with the openai package into .cache/, as a virtual environment that borrows the machine's pip. Some
 * twenty seconds the first time, half a second after that.
 */
export async function installPythonClient(): Promise<InstalledPython> {
  const version = await attempt('python3', ['--version']);
  if (version.status !== 0) return absent('there is no python3');
  const [major = 0, minor = 0] = version.stdout.replace('Python ', '').split('.').map(Number);
  if (major < OLDEST[0]! || (major === OLDEST[0] && minor < OLDEST[1]!))
    return absent(`python3 is ${version.stdout.trim()}, and the openai package needs ${OLDEST.join('.')}`);
  const requirements = readFileSync(REQUIREMENTS, 'utf8');
  const stamp = `${createHash('sha256').update(requirements).digest('hex')} ${version.stdout.trim()}\n`;
  if (existsSync(STAMP) && readFileSync(STAMP, 'utf8') === stamp && existsSync(PYTHON))
    return { kind: 'installed', python: PYTHON };
  rmSync(FOLDER, { recursive: true, force: true });
  mkdirSync(FOLDER, { recursive: true });
  // Whatever else ignores it or not: nothing in here is ever to be committed.
  writeFileSync(join(CACHE, '.gitignore'), '*\n');
  const created = await attempt('python3', ['-m', 'venv', '--without-pip', FOLDER]);
  if (created.status !== 0) return absent(`python3 makes no virtual environment: ${lastLine(created)}`);
  const pip = ['-m', 'pip', '--python', PYTHON, 'install', '--quiet', '--disable-pip-version-check'];
  const limits = ['--retries', '1', '--timeout', '15'];
  const installed = await attempt('python3', [...pip, ...limits, '--no-compile', '-r', REQUIREMENTS]);
  if (installed.status !== 0)
    return absent(`pip could not install the openai package: ${lastLine(installed)}`);
  writeFileSync(STAMP, stamp);
  return { kind: 'installed', python: PYTHON };
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
