// `npm run check`: everything that can be said about the code without running it.
import { pathToFileURL } from 'node:url';
import { runQuietly } from './lib/child.mjs';
import { ROOT } from './lib/paths.mjs';
import { runScript } from './lib/set-up.mjs';

/** Two lanes, for two cores: the lint takes as long as all the rest. */
const LANES = [
  [{ name: 'lint', args: ['node_modules/eslint/bin/eslint.js', '--max-warnings=0', '.'] }],
  [
    { name: 'types', args: ['node_modules/typescript7/bin/tsc', '-p', 'tsconfig.json'] },
    { name: 'format', args: ['node_modules/prettier/bin/prettier.cjs', '--check', '--log-level=warn', '.'] },
    { name: 'import direction', args: ['--test', '--test-reporter=spec', 'test/imports.test.ts'] },
  ],
];

/**
 * Runs every check and prints what failed.
 * @returns {Promise<string[]>} the names of the failed checks
 */
export async function check() {
  const results = await Promise.all(LANES.map(runLane));
  return results.flat();
}

async function runLane(lane) {
  const failed = [];
  for (const { name, args } of lane) {
    const startedAt = Date.now();
    // A test run started inside a test run would report to the outer one.
    const env = { ...process.env, NODE_TEST_CONTEXT: undefined };
    const { status, output } = await runQuietly(process.execPath, args, { cwd: ROOT, env });
    const seconds = ((Date.now() - startedAt) / 1000).toFixed(1);
    process.stdout.write(`check: ${name} ${status === 0 ? 'ok' : 'FAILED'} (${seconds} s)\n`);
    if (status === 0) continue;
    process.stdout.write(`${output.trimEnd()}\n`);
    failed.push(name);
  }
  return failed;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  runScript(async () => ((await check()).length === 0 ? 0 : 1));
}
