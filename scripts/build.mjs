// `npm run build`: dist/, what the package holds: JavaScript and type declarations of everything but the tests.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { runInForeground } from './lib/child.mjs';
import { ROOT } from './lib/paths.mjs';
import { runScript } from './lib/set-up.mjs';

runScript(async () => {
  rmSync(join(ROOT, 'dist'), { recursive: true, force: true });
  return runInForeground(
    process.execPath,
    ['node_modules/typescript7/bin/tsc', '-p', 'tsconfig.build.json'],
    {
      cwd: ROOT,
    },
  );
});
