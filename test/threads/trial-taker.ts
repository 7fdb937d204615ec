/**
 * A thread that takes trial places of a half-open breaker and gives them back, again and again, and says the most that were taken
 * at a time, as it saw it. `dieWith`: it ends itself while it holds that many.
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
  readonly dieWith: number;
}

export interface TrialReport {
  readonly taken: number;
  readonly mostAtOnce: number;
}

// What the test has posted.
const { regions, rows, self, slot, epoch, most, rounds, dieWith } = workerData as TrialTask;
const memory = new JoinedMemory(regions, { rows, self });
const cells = new BreakerCells(memory);
/** Places that are taken, and threads that are ready. */
const counts = new Int32Array(memory.region('test:counts', 8));

Atomics.add(counts, 1, 1);
Atomics.notify(counts, 1);
for (let ready = Atomics.load(counts, 1); ready < rows - 1; ready = Atomics.load(counts, 1))
  Atomics.wait(counts, 1, ready, 100);

let taken = 0;
let mostAtOnce = 0;
for (let round = 0; round < rounds; round++) {
  const place = cells.takeTrial(slot, epoch, most);
  if (place < 0) continue;
  taken += 1;
  mostAtOnce = Math.max(mostAtOnce, Atomics.add(counts, 0, 1) + 1);
  Atomics.sub(counts, 0, 1);
  cells.giveTrial(place, epoch);
}
for (let held = 0; held < dieWith;) if (cells.takeTrial(slot, epoch, most) >= 0) held += 1;
const report: TrialReport = { taken, mostAtOnce };
parentPort?.postMessage(report);
if (dieWith > 0) process.exit(1);
