import { areInstalled, installDependencies } from './dependencies.mjs';
import { availableNode, fetchNode } from './node-runtime.mjs';

/**
 * Brings the machine to where the project runs: a new enough Node, and the packages of the lockfile. Does nothing, in
 * a few milliseconds, where that is so already.
 * @returns {Promise<{ node: string, changed: boolean }>} the Node to run on, and whether anything was installed
 */
export async function setUp() {
  const present = availableNode();
  if (present !== undefined && areInstalled(present)) return { node: present, changed: false };
  process.stderr.write('Setting up (needed once):\n');
  const node = present ?? (await fetchNode());
  if (!areInstalled(node)) await installDependencies(node);
  return { node, changed: true };
}

/**
 * Runs a script's main step; a failure of the set-up is told in its own words, without a stack.
 * @param {() => Promise<number>} main returns the exit status
 */
export function runScript(main) {
  main().then(
    (status) => {
      process.exitCode = status;
    },
    (error) => {
      process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
      process.exitCode = 1;
    },
  );
}
