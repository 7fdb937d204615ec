/** `npm run bench`: what this router costs beside nginx, a bare Node proxy and no proxy at all. */
import { bench } from './bench.ts';
import { readOptions, USAGE } from './options.ts';

process.exitCode = await bench(() => readOptions(process.argv.slice(2)), USAGE);
