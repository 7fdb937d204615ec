/**
 * A thread that takes trial places of a half-open breaker and gives them back, again and again, and says the most that were taken
 * at a time, as it saw it. `dies`: when all have done so, it takes one more and ends itself.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { JoinedMemory, type Regions } from '../../src/base/thread-memory.ts';
import { BreakerCells } from '../../src/workers/breaker-cells.ts';

export interface TrialTask {
  readonly regions: Regions;
  readonly rows: number;
  readonly self: number;
  readonly slot: number;
  readonly epoch: number;
  readonly most: number;
  readonly rounds: number;
  readonly dies: boolean;
}

export interface TrialReport {
  readonly mostAtOnce: number;
}

// What the test has posted.
const { regions, rows, self, slot, epoch, most, rounds, dies } = workerData as TrialTask;
const memory = new JoinedMemory(regions, { rows, self });
const cells = new BreakerCells(memory);
/** Places that are taken, threads that are ready, and those that have taken as often as they should. */
const [HELD, READY, DONE] = [0, 1, 2];
const counts = new Int32Array(memory.region('test:counts', 12));

Atomics.add(counts, READY, 1);
Atomics.notify(counts, READY);
waitFor(READY, rows - 1);

let mostAtOnce = 0;
for (let taken = 0; taken < rounds;) {
  const place = cells.takeTrial(slot, epoch, most);
  if (place < 0) continue;
  taken += 1;
  mostAtOnce = Math.max(mostAtOnce, Atomics.add(counts, HELD, 1) + 1);
  // Long enough that another who believes to have it is here, too.
  for (let held = 0; held < 20; held++) mostAtOnce = Math.max(mostAtOnce, Atomics.load(counts, HELD));
  Atomics.sub(counts, HELD, 1);
  cells.giveTrial(place, epoch);
}
Atomics.add(counts, DONE, 1);
Atomics.notify(counts, DONE);
if (dies) {
  waitFor(DONE, rows - 1);
  cells.takeTrial(slot, epoch, most);
}
const report: TrialReport = { mostAtOnce };
parentPort?.postMessage(report);
if (dies) process.exit(1);

function waitFor(what: number, count: number): void {
  for (let now = Atomics.load(counts, what); now < count; now = Atomics.load(counts, what))
    Atomics.wait(counts, what, now, 100);
}
