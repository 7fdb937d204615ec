/** Exchanges through a whole router: what either side gets must be what the other one sent, in its order, byte for byte. */
import { seededRandom } from '../../../src/base/random.ts';
import { startFleet } from '../../support/fleet.ts';
import type { AnswerFraming } from './answers.ts';
import { HashWorker } from './hash-worker.ts';
import { PipeliningClient } from './pipelining-client.ts';

const WORKERS = 2;
const CLIENTS = 8;

export interface Exchanged {
  readonly exchanges: number;
  readonly framings: ReadonlyMap<AnswerFraming, number>;
  readonly faults: readonly string[];
}

/** Runs that many and what their connections had begun besides, on several connections at once; the same ones for the same seed, but not at the same moments. */
export async function runExchanges(
  total: number,
  seed: number,
  onProgress: (done: number) => void = () => undefined,
): Promise<Exchanged> {
  const workers = await Promise.all(
    Array.from({ length: WORKERS }, (_, index) => HashWorker.start(seededRandom(seed * 1_000 + index))),
  );
  const fleet = await startFleet({
    workers: [],
    extraWorkerUrls: workers.map(({ url }) => url),
    // Workers say 404 of whatever they like; a message would be asked for as a chat then.
    router: { anthropic: 'pass' },
  });
  const faults: string[] = [];
  let begun = 0;
  let done = 0;
  const runClients = async (index: number): Promise<void> => {
    const random = seededRandom(seed * 1_000 + 500 + index);
    while (begun < total && faults.length === 0) {
      const client = await PipeliningClient.connect(fleet.port, random);
      const count = await client.run(() => (begun += 1));
      done += count;
      if (client.fault !== undefined) faults.push(client.fault);
      onProgress(done);
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, (_, index) => runClients(index)));
  // Fails when anything is left behind.
  await fleet.stop();
  for (const worker of workers) {
    faults.push(...worker.faults);
    await worker[Symbol.asyncDispose]();
  }
  return { exchanges: done, faults, framings: sum(workers.map(({ framings }) => framings)) };
}

function sum<Key>(counts: readonly ReadonlyMap<Key, number>[]): Map<Key, number> {
  const total = new Map<Key, number>();
  for (const count of counts) for (const [key, value] of count) total.set(key, (total.get(key) ?? 0) + value);
  return total;
}
