import assert from 'node:assert/strict';
import { it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { RouterThreads } from '../../test/support/router-threads.ts';
import { CAUGHT_UP } from '../admin/remote-messages.ts';
import { App } from '../app.ts';
import { configFromOptions } from '../config/load/load.ts';
import { silentLog } from '../observe/log.ts';
import type { Front } from './front.ts';

const FRONT: Front = {
  threads: { configured: 1, serving: 1 },
  listen: () => Promise.resolve(1),
  prepare: () => Promise.resolve(() => undefined),
  announceStop: () => undefined,
  stop: () => Promise.resolve(),
  cut: () => undefined,
  close: () => Promise.resolve(),
};

it('a reload is over when every thread has heard of it', async () => {
  const workerUrls = ['http://127.0.0.1:9'];
  const start = configFromOptions({ workerUrls });
  assert.ok(start.kind === 'ok');
  const threads = new RouterThreads(1);
  const app = new App(start.settings, {
    ...{ log: silentLog, config: start.config, material: start.material },
    ...{ part: threads.control, openFront: () => FRONT },
  });
  const thread = threads.begin(1);
  thread.channel.answer(CAUGHT_UP, () => true);
  const next = configFromOptions({ workerUrls, queueSize: 17 });
  let isOver = false;
  const reload = app.reload({ who: 'test', dryRun: false }, next).then((outcome) => {
    isOver = true;
    return outcome;
  });
  for (let turns = 0; turns < 20; turns++) await turn();
  assert.deepEqual([app.runtime.settings.admission.queueSize, isOver], [17, false]);
  thread.hear();
  await turn();
  thread.beHeard();
  assert.equal((await reload).kind, 'done');
});
