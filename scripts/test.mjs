// `npm test`: the checks, then every test. `npm test -- FILE...` runs the named test files alone; `--threads N` in front has the
// routers of the tests on real sockets serve with so many threads, and runs those tests alone.
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
const RUN_TIMEOUT_MS = 15 * 60_000;

runScript(async () => {
  const [flag, threads, ...rest] = process.argv.slice(2);
  const several = flag === '--threads';
  const files = several ? rest : process.argv.slice(2);
  const named = files.length === 0 && several ? TESTS_ON_SOCKETS : files;
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
    ...(several && { TEST_THREADS: threads }),
    NODE_TEST_CONTEXT: undefined,
    FAILED_CHECKS: failedChecks.join(', '),
  };
  const limits = { timeout: RUN_TIMEOUT_MS, killSignal: 'SIGINT' };
  const status = await runInForeground(process.execPath, args, { cwd: ROOT, env, ...limits });
  return status === 0 && failedChecks.length > 0 ? 1 : status;
});
