/** Writes so many lines, or records, and closes; a request thread as far as logs are concerned. */
import { parentPort, workerData } from 'node:worker_threads';
import { PortChannel } from '../../src/base/port-channel.ts';
import { systemClock } from '../../src/base/system-clock.ts';
import type { DecisionLogSettings } from '../../src/config/settings/settings.ts';
import { PostedRecords } from '../../src/decisions/posted-records.ts';
import { createThreadLog } from '../../src/observe/log.ts';

if (!parentPort) throw new Error('not the main thread');
// What the tests hand over.
const { what, count, row, settings } = workerData as {
  readonly what: 'records' | 'lines';
  readonly count: number;
  readonly row: number;
  readonly settings: DecisionLogSettings;
};
const channel = new PortChannel(parentPort);
const text = 'ü'.repeat(40);

function open(): { readonly write: (n: number) => void; readonly close: () => Promise<void> } {
  if (what === 'records') {
    const records = new PostedRecords(settings, { channel, clock: systemClock, threads: 2 });
    return {
      write: (n) => {
        records.push({ thread: row, n, text });
      },
      close: () => records.close(),
    };
  }
  const { log, close } = createThreadLog({ level: 'info' }, { channel, threads: 2 });
  return {
    write: (n) => {
      log[n % 1000 === 999 ? 'warn' : 'info']({ thread: row, n, place: text }, 'a line');
    },
    close,
  };
}

const { write, close } = open();
for (let n = 0; n < count; n += 1) {
  write(n);
  if (n % 500 === 499) await new Promise((resolve) => setImmediate(resolve));
}
await close();
parentPort.close();
