/** A router that knows what its workers hold by the events of their engines, in one thread and in two. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { startSimWorker } from '../../src/sim/server/server.ts';
import { adminOf, settledWorker } from '../support/admin.ts';
import { startFleet } from '../support/fleet.ts';
import { complete, promptOf as ids, told, untilKnown } from '../support/known-prompts.ts';

for (const threads of [1, 2]) {
  describe(`a router with ${threads} request thread${threads === 1 ? '' : 's'}`, () => {
    const router = { policy: 'kv_aware', threads } as const;

    it('knows what engines computed for others, and sends there what begins alike', async () => {
      await using fleet = await startFleet({ workers: [{ kvEvents: true }, { kvEvents: true }], router });
      const [one, other] = fleet.workers;
      assert.ok(one && other);
      await complete(other.url, ids(1, 5));
      await untilKnown(fleet, ids(1, 5), { [one.url]: 'events 0', [other.url]: 'events 80' });
      const id = await complete(fleet.url, ids(1, 9));
      const { worker, candidates = [] } = await fleet.decision(({ request_id }) => request_id === id);
      assert.equal(worker, other.url);
      assert.deepEqual(told(candidates), { [one.url]: 'events 0', [other.url]: 'events 80' });
      await untilKnown(fleet, ids(1, 9), { [one.url]: 'events 0', [other.url]: 'events 144' });
    });

    it('knows nothing more of a worker that has left, nor of the one that has its place', async () => {
      await using fleet = await startFleet({
        workers: [{ kvEvents: true }, { kvEvents: true }],
        router,
        onlyRegular: 'the one that joins serves whole requests',
      });
      const [one, other] = fleet.workers;
      assert.ok(one && other);
      await complete(other.url, ids(1, 5));
      await untilKnown(fleet, ids(1, 5), { [one.url]: 'events 0', [other.url]: 'events 80' });
      const admin = adminOf(fleet);
      assert.equal((await admin('DELETE', `/workers/${encodeURIComponent(other.url)}`)).status, 202);
      await settledWorker(admin, other.url);
      await using next = disposable(await startSimWorker({ timeScale: 0, kvEvents: true }));
      assert.equal((await admin('POST', '/workers', { url: next.worker.url })).status, 202);
      await untilKnown(fleet, ids(1, 5), { [one.url]: 'events 0', [next.worker.url]: 'events 0' });
    });

    it('does not take for all what it hears of an engine that was there before it, until that clears its cache', async () => {
      const policy = { type: 'kv_aware', enableSpeculative: false } as const;
      const worker = { kvEvents: { replayPort: 'none' } } as const;
      await using fleet = await startFleet({
        workers: [worker],
        router: { ...router, policy },
        onlyRegular: 'prompts are computed by the worker that publishes events',
      });
      const [one] = fleet.workers;
      assert.ok(one);
      // The worker joins when the engine has sent its first messages.
      const admin = adminOf(fleet);
      assert.equal((await admin('DELETE', `/workers/${encodeURIComponent(one.url)}`)).status, 202);
      await settledWorker(admin, one.url);
      await complete(one.url, ids(1, 5));
      assert.equal((await admin('POST', '/workers', { url: one.url })).status, 202);
      await untilKnown(fleet, ids(1, 5), { [one.url]: 'events 0' });
      // Nothing new for the engine to tell of.
      await complete(fleet.url, ids(1, 5));
      await untilKnown(fleet, ids(1, 5), { [one.url]: 'predicted 80' });
      await complete(one.url, ids(2, 3));
      await untilKnown(fleet, ids(2, 3), { [one.url]: 'events 48' });
      await untilKnown(fleet, ids(1, 5), { [one.url]: 'predicted 80' });
      await fetch(`${one.url}/reset_prefix_cache`, { method: 'POST' });
      await complete(one.url, ids(3, 2));
      await untilKnown(fleet, ids(1, 5), { [one.url]: 'events 0' });
    });

    it('forgets what an engine has cleared', async () => {
      await using fleet = await startFleet({ workers: [{ kvEvents: true }, { kvEvents: true }], router });
      const [one, other] = fleet.workers;
      assert.ok(one && other);
      await complete(other.url, ids(1, 5));
      await untilKnown(fleet, ids(1, 5), { [one.url]: 'events 0', [other.url]: 'events 80' });
      await fetch(`${other.url}/reset_prefix_cache`, { method: 'POST' });
      // vLLM tells of it with the next request.
      await complete(other.url, ids(2, 3));
      await untilKnown(fleet, ids(1, 5), { [one.url]: 'events 0', [other.url]: 'events 0' });
      await untilKnown(fleet, ids(2, 3), { [one.url]: 'events 0', [other.url]: 'events 48' });
    });
  });
}

function disposable<Worker extends { stop(): Promise<void> }>(
  worker: Worker,
): AsyncDisposable & { readonly worker: Worker } {
  return { worker, [Symbol.asyncDispose]: () => worker.stop() };
}
