// node_modules: installed from package-lock.json, and known to be up to date by a stamp inside it.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { environmentFor } from './child.mjs';
import { LEAST_MAJOR, majorOf } from './node-runtime.mjs';
import { runNpm } from './npm.mjs';
import { ROOT } from './paths.mjs';
import { withProgress } from './progress.mjs';

const LOCK = join(ROOT, 'package-lock.json');
/** npm ci empties node_modules first, so an install cut short leaves no stamp. */
const STAMP = join(ROOT, 'node_modules', '.installed-from');

/** @param {string} node path of the Node that the packages are for */
export function areInstalled(node) {
  return existsSync(STAMP) && readFileSync(STAMP, 'utf8') === stampFor(node);
}

/** @param {string} node path of the Node that the packages are for */
export async function installDependencies(node) {
  const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline'];
  await withProgress('Packages: npm ci', () => runNpm(node, args, { cwd: ROOT, env: environmentFor(node) }));
  writeFileSync(STAMP, stampFor(node));
}

function stampFor(node) {
  const lock = createHash('sha256').update(readFileSync(LOCK)).digest('hex');
  const major = node === process.execPath ? majorOf(process.version) : LEAST_MAJOR;
  return `package-lock.json ${lock}\nnode ${major} ${process.platform}-${process.arch}\n`;
}
