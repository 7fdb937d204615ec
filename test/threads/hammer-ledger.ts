import { parentPort, workerData } from 'node:worker_threads';
import { PortChannel } from '../../src/base/port-channel.ts';
import { systemClock } from '../../src/base/system-clock.ts';
import { JoinedMemory, type Regions } from '../../src/base/thread-memory.ts';
import { seededRandom } from '../../src/base/random.ts';
import { LoadLedger, type Lease } from '../../src/workers/ledger.ts';

/** What the test that starts this thread gives it. */
interface Work {
  readonly regions: Regions;
  readonly rows: number;
  readonly row: number;
  readonly slots: readonly { readonly slot: number; readonly generation: number }[];
  /** Leases to take and give back. */
  readonly rounds: number;
  /** So many more are held until the message `let-go` comes. */
  readonly hold?: number;
}

if (!parentPort) throw new Error('to be run as a thread');
const port = parentPort;
// Written by the test.
const { regions, rows, row, slots, rounds, hold = 0 } = workerData as Work;
const channel = new PortChannel(port);
const memory = new JoinedMemory(regions, { rows, self: row });
const ledger = new LoadLedger(systemClock, { part: { kind: 'request', memory, channel } });
for (const { slot, generation } of slots) ledger.adopt(slot, generation);
const random = seededRandom(row);
const below = (limit: number): number => Math.floor(random() * limit);
const open: Lease[] = [];

function takeOne(): Lease {
  const { slot } = slots[below(slots.length)]!;
  const prefillTokens = 1 + below(20);
  return ledger.acquire(slot, { prefillTokens, kvTokens: prefillTokens, stream: below(3) > 0 });
}

function giveOne(): void {
  const [lease] = open.splice(below(open.length), 1);
  if (below(2) > 0) lease?.firstToken(0);
  lease?.release();
}

for (let round = 0; round < rounds; round++) {
  open.push(takeOne());
  if (open.length > 8) giveOne();
}
while (open.length > 0) giveOne();
const held = Array.from({ length: hold }, takeOne);
channel.on({ name: 'let-go' }, () => {
  for (const lease of held) lease.release();
  port.close();
});
if (hold > 0) channel.post({ name: 'holding' }, undefined);
else port.close();
