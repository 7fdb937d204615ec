// `npm run setup`: a new enough Node and the packages, nothing else.
import { runScript, setUp } from './lib/set-up.mjs';

runScript(async () => {
  const { node, changed } = await setUp();
  process.stdout.write(
    `${changed ? 'Set up' : 'Already set up'}: Node at ${node}, packages in node_modules.\n`,
  );
  return 0;
});
