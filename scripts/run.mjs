// `npm run <job>`: set-up, then the job on the project's Node. Further arguments go to the job.
import { join } from 'node:path';
import { environmentFor, runInForeground } from './lib/child.mjs';
import { ROOT } from './lib/paths.mjs';
import { runScript, setUp } from './lib/set-up.mjs';

const JOBS = {
  check: 'scripts/check.mjs',
  test: 'scripts/test.mjs',
  build: 'scripts/build.mjs',
  docs: 'scripts/docs.mjs',
  bench: 'bench/run.ts',
  'bench:peers': 'bench/peers/run.ts',
  soak: 'test/soak/run.ts',
  fuzz: 'test/fuzz/run.ts',
  'test:vllm': 'test/vllm/run.ts',
};

runScript(async () => {
  const [name = '', ...args] = process.argv.slice(2);
  if (!Object.hasOwn(JOBS, name)) {
    process.stderr.write(`Unknown job "${name}". There are: ${Object.keys(JOBS).join(', ')}.\n`);
    return 2;
  }
  const { node } = await setUp();
  return runInForeground(node, [join(ROOT, JOBS[name]), ...args], { cwd: ROOT, env: environmentFor(node) });
});
