/** `npm run bench:peers`: the same measurements beside the routers that others publish. */
import { bench } from '../bench.ts';
import { PEERS_USAGE, readOptions } from '../options.ts';

process.exitCode = await bench(() => readOptions(process.argv.slice(2), true), PEERS_USAGE);
