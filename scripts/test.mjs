// `npm test`: the checks, then every test. `npm test -- FILE...` runs the named test files alone; `--threads N` in front has the
// routers of the tests on real sockets serve with so many threads, `--shape pd` puts a prefill worker before their workers,
// and both run those tests alone.
import { availableParallelism } from 'node:os';
import { check } from './check.mjs';
import { runInForeground } from './lib/child.mjs';
import { ROOT } from './lib/paths.mjs';
import { runScript } from './lib/set-up.mjs';

const EVERY_TEST = ['src/**/*.test.ts', 'test/**/*.test.ts'];
const TESTS_ON_SOCKETS = ['test/wire/*.test.ts', 'test/compat/*.test.ts'];
/** A test that hangs fails; a test that truly needs longer names its own limit. */
const TIMEOUT_MS = 120_000;
/** A file that never ends (a handle left open) is beyond that limit: then the run is interrupted, which names the file. */
const RUN_TIMEOUT_MS = 30 * 60_000;

/** Other routers or fleets than the tests' own, by the variable that they read. */
const VARIANTS = { '--threads': 'TEST_THREADS', '--shape': 'TEST_SHAPE' };

function readArguments([flag, value, ...rest]) {
  const variable = VARIANTS[flag];
  if (variable === undefined) return { variant: {}, files: [flag, value, ...rest].filter(Boolean) };
  const { variant, files } = readArguments(rest);
  return { variant: { [variable]: value, ...variant }, files };
}

runScript(async () => {
  const { variant, files } = readArguments(process.argv.slice(2));
  const isVariant = Object.keys(variant).length > 0;
  const named = files.length === 0 && isVariant ? TESTS_ON_SOCKETS : files;
  const failedChecks = named.length === 0 ? await check() : [];
  const concurrency = Math.min(8, Math.max(2, availableParallelism()));
  const args = [
    '--test',
    `--test-concurrency=${concurrency}`,
    `--test-timeout=${TIMEOUT_MS}`,
    '--test-reporter=./scripts/lib/test-reporter.mjs',
    '--test-reporter-destination=stdout',
    ...(named.length === 0 ? EVERY_TEST : named),
  ];
  const env = {
    ...process.env,
    ...variant,
    NODE_TEST_CONTEXT: undefined,
    FAILED_CHECKS: failedChecks.join(', '),
  };
  const limits = { timeout: RUN_TIMEOUT_MS, killSignal: 'SIGINT' };
  const status = await runInForeground(process.execPath, args, { cwd: ROOT, env, ...limits });
  return status === 0 && failedChecks.length > 0 ? 1 : status;
});
