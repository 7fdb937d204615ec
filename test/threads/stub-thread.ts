/** A thread that does as it is told by what it is asked to listen on, without serving anything. */
import { parentPort, workerData } from 'node:worker_threads';
import { PortChannel } from '../../src/base/port-channel.ts';
import { systemClock } from '../../src/base/system-clock.ts';
import { JoinedMemory } from '../../src/base/thread-memory.ts';
import { Heartbeats } from '../../src/threads/heartbeats.ts';
import { LISTEN, STOPPING, type ThreadStart } from '../../src/threads/thread-messages.ts';

/** What it never gets to listen on. */
const NEVER = 65_535;

const { row, rows, regions } = workerData as ThreadStart;
if (!parentPort) throw new Error('this is no thread');
const channel = new PortChannel(parentPort);
new Heartbeats(new JoinedMemory(regions, { rows, self: row }), systemClock).begin();
channel.answer(LISTEN, (port) => {
  if (port === 0) throw new Error('port 0 cannot be shared');
  return port === NEVER ? new Promise<undefined>(() => undefined) : undefined;
});
/** The ways to end. */
const ENDS: Readonly<Record<string, () => void>> = {
  exception: () => {
    setTimeout(() => {
      throw new Error('a fault');
    });
  },
  out_of_memory: () => {
    const kept: unknown[] = [];
    for (;;) kept.push(new Array(1e6).fill(kept.length));
  },
  exit: () => process.exit(),
  hung: () => {
    for (;;);
  },
};
channel.on({ name: 'end' }, (how: string) => ENDS[how]?.());
channel.on(STOPPING, () => undefined);
