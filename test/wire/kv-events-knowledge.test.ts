/** Whatever becomes of a worker's cache events, the router knows what is cached: what it predicts is what the worker then tells. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { SimOptions } from '../../src/sim/server/options.ts';
import type { SimWorker } from '../../src/sim/server/server.ts';
import { eventually, startFleet, type Fleet } from '../support/fleet.ts';
import { complete, decided, promptOf, untilKnown } from '../support/known-prompts.ts';

/** Nobody is counted on for what was just sent there: all that is known is from events. */
const router = {
  policy: { type: 'kv_aware', enableSpeculative: false },
} as const;

const ONLY_REGULAR =
  'what is predicted is of the worker that computes prompts, which publishes the events here';

function fleetOf(threads: number, worker: SimOptions = {}): Promise<Fleet> {
  return startFleet({
    workers: [{ kvEvents: true, ...worker }],
    router: { ...router, threads },
    onlyRegular: ONLY_REGULAR,
  });
}

function only({ workers: [worker] }: Fleet): SimWorker {
  assert.ok(worker);
  return worker;
}

/** The router sends the prompt, with that many tokens known to be cached, and the worker says the same. */
async function assertKnown(fleet: Fleet, prompt: readonly number[], tokens: number): Promise<void> {
  await untilKnown(fleet, prompt, { [only(fleet).url]: `events ${tokens}` });
  const decision = await decided(fleet, prompt);
  assert.equal(decision.cache_source, 'events');
  assert.deepEqual([decision.predicted_cached_tokens, decision.actual_cached_tokens], [tokens, tokens]);
}

for (const threads of [1, 2]) {
  describe(`cache events, ${threads} request thread${threads === 1 ? '' : 's'}`, () => {
    it('from before the router came', async () => {
      await using fleet = await startFleet({
        workers: [{ kvEvents: true }],
        router: { ...router, threads, policy: 'random', kvEvents: { enabled: 'off' } },
      });
      // Another router comes when all of this has been published.
      const worker = only(fleet);
      await complete(worker.url, promptOf(1, 6));
      await using late = await startFleet({
        workers: [],
        extraWorkerUrls: [worker.url],
        router: { ...router, threads },
      });
      await untilKnown(late, promptOf(1, 8), { [worker.url]: 'events 96' });
      const decision = await decided(late, promptOf(1, 8));
      assert.deepEqual(
        [decision.cache_source, decision.predicted_cached_tokens, decision.actual_cached_tokens],
        ['events', 96, 96],
      );
    });

    it('of which some were lost, and can be asked for again', async () => {
      await using fleet = await fleetOf(threads);
      const worker = only(fleet);
      await complete(worker.url, promptOf(1, 3));
      await assertKnown(fleet, promptOf(1, 5), 48);
      await worker.setFaults(['kv_lose']);
      await complete(worker.url, promptOf(2, 4));
      await worker.setFaults([]);
      await complete(worker.url, promptOf(3, 2));
      await assertKnown(fleet, promptOf(2, 6), 64);
      await assertKnown(fleet, promptOf(1, 7), 80);
    });

    it('of which some were lost for good: what came before them counts no more, what comes after does', async () => {
      await using fleet = await fleetOf(threads, { kvEvents: { replayPort: 'none' } });
      const worker = only(fleet);
      // Nobody can be asked for what is published before.
      await eventually(() => worker.kvSubscribers > 0);
      await complete(worker.url, promptOf(1, 3));
      await untilKnown(fleet, promptOf(1, 5), { [worker.url]: 'events 48' });
      await worker.setFaults(['kv_lose']);
      await complete(worker.url, promptOf(2, 4));
      await worker.setFaults([]);
      await complete(worker.url, promptOf(3, 2));
      await assertKnown(fleet, promptOf(3, 4), 32);
      await untilKnown(fleet, promptOf(1, 5), { [worker.url]: 'events 0' });
    });

    it('of an engine that began anew', async () => {
      await using fleet = await fleetOf(threads);
      const worker = only(fleet);
      await complete(worker.url, promptOf(1, 5));
      await untilKnown(fleet, promptOf(1, 5), { [worker.url]: 'events 80' });
      await worker.setFaults(['kv_restart']);
      await complete(worker.url, promptOf(2, 3));
      await assertKnown(fleet, promptOf(2, 4), 48);
      await assertKnown(fleet, promptOf(1, 5), 0);
    });

    it('of a cache that was emptied', async () => {
      await using fleet = await fleetOf(threads);
      const worker = only(fleet);
      await complete(worker.url, promptOf(1, 5));
      await untilKnown(fleet, promptOf(1, 5), { [worker.url]: 'events 80' });
      await fetch(`${worker.url}/reset_prefix_cache`, { method: 'POST' });
      await complete(worker.url, promptOf(2, 3));
      await assertKnown(fleet, promptOf(2, 4), 48);
      await assertKnown(fleet, promptOf(1, 5), 0);
    });

    it('of two ranks, which are two workers', async () => {
      await using fleet = await startFleet({
        workers: [{ kvEvents: true, dataParallelSize: 2 }],
        router: { ...router, threads, intraNodeDataParallelSize: 2 },
        onlyRegular: ONLY_REGULAR,
      });
      const { url } = only(fleet);
      await complete(url, promptOf(1, 5), { 'x-data-parallel-rank': '1' });
      await untilKnown(fleet, promptOf(1, 7), { [`${url}@0`]: 'events 0', [`${url}@1`]: 'events 80' });
      const decision = await decided(fleet, promptOf(1, 7));
      assert.equal(decision.worker, `${url}@1`);
      assert.deepEqual([decision.predicted_cached_tokens, decision.actual_cached_tokens], [80, 80]);
      await untilKnown(fleet, promptOf(1, 8), { [`${url}@0`]: 'events 0', [`${url}@1`]: 'events 112' });
    });
  });
}
