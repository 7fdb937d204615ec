/** Where a helper thread begins, as `startHelper` starts it. */
import { enableCompileCache } from 'node:module';
import { parentPort, workerData } from 'node:worker_threads';
import { PortChannel } from '../base/port-channel.ts';
import { BEAT, BEAT_MS, type HelperModule, type HelperStart } from './helper-start.ts';

// Given by `startHelper` alone.
const { module, data, beat, compileCache } = workerData as HelperStart;
if (!parentPort) throw new Error('this is for a helper thread');
if (compileCache !== undefined) enableCompileCache(compileCache);

const cells = new Int32Array(beat);
setInterval(() => Atomics.add(cells, BEAT.count, 1), BEAT_MS);

// Whoever names a module also gives the data that it takes.
const { serve } = (await import(module)) as HelperModule<unknown>;
serve(data, new PortChannel(parentPort));
Atomics.store(cells, BEAT.serves, 1);
