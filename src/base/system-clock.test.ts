import assert from 'node:assert/strict';
import { it } from 'node:test';
import { Worker } from 'node:worker_threads';
import { once } from 'node:events';
import { systemClock } from './system-clock.ts';

it('all threads have one time', async () => {
  const path = new URL('./system-clock.ts', import.meta.url).href;
  const source = `import { parentPort } from 'node:worker_threads';
    const { systemClock } = await import(${JSON.stringify(path)});
    parentPort.postMessage(systemClock.now());`;
  const before = systemClock.now();
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`));
  const [there] = (await once(worker, 'message')) as [number];
  assert.ok(before < there && there < systemClock.now(), `${before} ${there} ${systemClock.now()}`);
  await worker.terminate();
});
