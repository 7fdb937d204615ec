// `npm start`: set-up, then a simulated fleet and a router in front of it. Arguments go to `vllm-router demo`.
import { join } from 'node:path';
import { environmentFor, runInForeground } from './lib/child.mjs';
import { ROOT } from './lib/paths.mjs';
import { runScript, setUp } from './lib/set-up.mjs';

runScript(async () => {
  const { node } = await setUp();
  const launcher = join(ROOT, 'bin', 'vllm-router.js');
  return runInForeground(node, [launcher, 'demo', ...process.argv.slice(2)], { env: environmentFor(node) });
});
