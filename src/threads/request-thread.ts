/** Where a request thread begins, as `RequestThreads` starts it. */
import { enableCompileCache } from 'node:module';
import { workerData } from 'node:worker_threads';
import type { ThreadStart } from './thread-messages.ts';

// Given by `RequestThreads` alone.
const { compileCache } = workerData as ThreadStart;
// Before anything else is loaded: without it every thread takes the types out of all sources by itself.
if (compileCache !== undefined) enableCompileCache(compileCache);
await import('./serve-requests.ts');
