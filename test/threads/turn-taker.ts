/** Takes so many turns of one pool beside another thread, and tells which. */
import { parentPort, workerData } from 'node:worker_threads';
import { JoinedMemory, type Regions } from '../../src/base/thread-memory.ts';
import { PoolTurns } from '../../src/routing/pool-turns.ts';

// As the test hands it over.
const { regions, self, turns } = workerData as {
  readonly regions: Regions;
  readonly self: number;
  readonly turns: number;
};
const shared = new PoolTurns({ memory: new JoinedMemory(regions, { rows: 3, self }), scope: 'default' });
const taken: number[] = [];
while (taken.length < turns) {
  const turn = shared.of('pool');
  if (shared.take('pool', turn, turn + 1)) taken.push(turn);
}
parentPort?.postMessage(taken);
