/** What a request thread does, from its start to its end. */
import { parentPort, workerData } from 'node:worker_threads';
import { RequestApp } from '../app/request-app.ts';
import { PortChannel } from '../base/port-channel.ts';
import { systemRandom } from '../base/random.ts';
import { systemClock } from '../base/system-clock.ts';
import { JoinedMemory } from '../base/thread-memory.ts';
import { setUpCollector } from '../collector/set-up-collector.ts';
import { settingsFromPosted } from '../config/load/material.ts';
import { createThreadLog } from '../observe/log.ts';
import { loadPluginsAgain } from '../plugins/load-plugins.ts';
import { Heartbeats } from './heartbeats.ts';
import { followReloads } from './reload-protocol.ts';
import { CLOSE, CUT, LISTEN, STOP, STOPPING, type ThreadStart } from './thread-messages.ts';

// Given by `RequestThreads` alone.
const { row, rows, regions, portable, generation, ...start } = workerData as ThreadStart;
if (!parentPort) throw new Error('this is for a thread of a router');

const plugins = await loadPluginsAgain(start.plugins);
const settings = settingsFromPosted(portable, plugins);
const memory = new JoinedMemory(regions, { rows, self: row });
// What control says is heard from here on: whoever listens must do so before anything is waited for.
const channel = new PortChannel(parentPort);
const log = createThreadLog(settings.log, { channel, threads: rows - 1 });
const app = new RequestApp(settings, {
  part: { kind: 'request', memory, channel },
  ...{ clock: systemClock, random: systemRandom, log: log.log, plugins, descriptors: start.descriptors },
});
followReloads(channel, {
  generation,
  compile: (next) => settingsFromPosted(next, plugins),
  commit: (next, shared) => {
    memory.adopt(shared);
    app.adopt(next);
  },
});
channel.answer(LISTEN, async (port) => {
  await app.listen(port);
  new Heartbeats(memory, systemClock).begin();
  setUpCollector(app.isBusy);
  if (start.warmUp) void warmUpBeside();
});
channel.on(STOPPING, () => {
  app.announceStop();
});
channel.answer(STOP, () => app.stop());
channel.on(CUT, () => {
  app.cut();
});
channel.answer(CLOSE, async () => {
  await app.close();
  await log.close();
});

async function warmUpBeside(): Promise<void> {
  const { warmUp } = await import('../warm-up/warm-up.ts');
  await warmUp(settings, { log: log.log, isBusy: () => app.isBusy });
}
