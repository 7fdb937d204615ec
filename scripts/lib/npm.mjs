// Finding npm's own program, so that it can be run on a Node of our choice.
import { existsSync, realpathSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { runQuietly } from './child.mjs';

/**
 * Runs npm on the given Node.
 * @param {string} node path of a node executable
 * @param {readonly string[]} args
 * @param {{ cwd: string, env: NodeJS.ProcessEnv }} options
 * @returns {Promise<void>} fails with npm's last lines
 */
export async function runNpm(node, args, options) {
  const { status, output } = await runQuietly(node, [npmProgram(), ...args], options);
  if (status === 0) return;
  const told = output.trimEnd().split('\n').slice(-20).join('\n');
  throw new Error(`npm ${args.join(' ')} failed (exit status ${status}). Its last lines:\n${told}`);
}

/** The path of npm-cli.js: the npm that started us, or else the first on PATH, or the one beside this Node. */
function npmProgram() {
  const startedBy = process.env['npm_execpath'];
  if (startedBy?.endsWith('npm-cli.js') && existsSync(startedBy)) return startedBy;
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), dirname(process.execPath)];
  for (const folder of folders) {
    for (const candidate of [
      join(folder, 'npm'),
      join(folder, '..', 'lib', 'node_modules', 'npm', 'bin', 'npm-cli.js'),
      join(folder, 'node_modules', 'npm', 'bin', 'npm-cli.js'),
    ]) {
      if (!existsSync(candidate)) continue;
      const program = realpathSync(candidate);
      if (program.endsWith('npm-cli.js')) return program;
    }
  }
  throw new Error('npm was not found: install npm, or start this with `npm run`.');
}
