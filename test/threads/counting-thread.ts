/** Counts until it has counted enough, or is told to hang; a request thread as far as metrics are concerned. */
import { parentPort, workerData } from 'node:worker_threads';
import { PortChannel } from '../../src/base/port-channel.ts';
import { systemClock } from '../../src/base/system-clock.ts';
import { createMetrics } from '../../src/observe/metrics.ts';
import { MetricsFeed } from '../../src/observe/metrics-feed.ts';
import { HANG, HANGS } from './hang.ts';

if (!parentPort) throw new Error('not the main thread');
const port = parentPort;
// What the tests hand over.
const { perThread, row } = workerData as { readonly perThread: number; readonly row: number };
const metrics = createMetrics();
const channel = new PortChannel(port);
const feed = new MetricsFeed(metrics.registry, { channel, clock: systemClock });

channel.on(HANG, () => {
  channel.post(HANGS, undefined);
  for (;;) metrics.hashKeyTotal.with('prompt').inc();
});

for (let counted = 0; counted < perThread;) {
  for (let i = 0; i < 1000 && counted < perThread; i += 1, counted += 1) {
    metrics.requestsTotal.with('/counted').inc();
    metrics.requestDurationSeconds.with('/counted').observe(counted / 1024);
    metrics.processedRequestsTotal.with(`w${row}`).inc();
  }
  await new Promise((resolve) => setImmediate(resolve));
}
await feed.close();
port.close();
