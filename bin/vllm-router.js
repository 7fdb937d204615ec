#!/usr/bin/env node
// The executable. It is read by whatever Node the machine has, so it is plain JavaScript that an old one understands:
// it looks for a Node that is new enough, says so in one line if there is none, and hands over.
import { existsSync } from 'node:fs';
import * as nodeModule from 'node:module';
import { fileURLToPath } from 'node:url';

const LEAST_MAJOR = 24;
const here = (path) => new URL(`../${path}`, import.meta.url);

async function launch() {
  if (Number.parseInt(process.versions.node, 10) >= LEAST_MAJOR) {
    // A clone runs its sources; the installed package has none and runs what was built from them.
    const sources = here('src/main.ts');
    const inClone = existsSync(sources);
    // To take the types out of the sources costs 0.4 s and, for as long as the process runs, 20 MiB. It is done once.
    if (inClone) nodeModule.enableCompileCache(fileURLToPath(here('node_modules/.cache/vllm-router')));
    await import(inClone ? sources.href : here('dist/main.js').href);
    return;
  }
  const node = await fetchedNode();
  if (node === undefined) {
    const inClone = existsSync(here('scripts/setup.mjs')) ? ', or run `npm run setup` to fetch one' : '';
    process.stderr.write(
      `vllm-router needs Node ${LEAST_MAJOR} or newer; this is Node ${process.versions.node}. Install it${inClone}.\n`,
    );
    process.exitCode = 1;
    return;
  }
  const { environmentFor, runInForeground } = await import(here('scripts/lib/child.mjs').href);
  const args = [fileURLToPath(import.meta.url), ...process.argv.slice(2)];
  process.exitCode = await runInForeground(node, args, { env: environmentFor(node) });
}

/** The Node that `npm run setup` put beside a clone. The installed package has none. */
async function fetchedNode() {
  const runtime = here('scripts/lib/node-runtime.mjs');
  if (!existsSync(runtime)) return undefined;
  return (await import(runtime.href)).availableNode();
}

launch().catch((error) => {
  process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
  process.exitCode = 1;
});
