/** One server with several data-parallel ranks is as many workers, told apart by a header. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { adminOf } from '../support/admin.ts';
import { chat, workerOf } from '../support/chat.ts';
import { eventually, startFleet } from '../support/fleet.ts';
import { startRouter, startScriptedWorker, valuesOf } from '../support/scripted-worker.ts';

const ROUND_ROBIN = { policy: 'round_robin' } as const;

test('a worker URL becomes N ranks, and each request says which', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker], {
    router: { ...ROUND_ROBIN, intraNodeDataParallelSize: 3 },
  });
  const served: (string | null)[] = [];
  for (let i = 0; i < 3; i += 1) served.push(workerOf(await chat(fleet)));
  assert.deepEqual(
    served.toSorted(),
    [0, 1, 2].map((rank) => `${worker.url}@${rank}`),
  );
  const ranks = worker.received.map(({ rawHeaders }) => valuesOf(rawHeaders, 'x-data-parallel-rank'));
  assert.deepEqual(
    ranks,
    served.map((id) => [id?.split('@')[1]]),
  );
});

test('the server is asked for its health once for all its ranks', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker], { router: { intraNodeDataParallelSize: 4 } });
  assert.equal(fleet.app.runtime.registry.workers.length, 4);
  assert.equal(worker.probes.filter(({ url }) => url === '/health').length, 1);
});

test('a URL may name its rank', async () => {
  await using worker = await startScriptedWorker();
  const fleetOptions = {
    workers: [],
    extraWorkerUrls: [`${worker.url}@5`, `${worker.url}@2`],
    router: ROUND_ROBIN,
  };
  await using fleet = await startFleet(fleetOptions);
  for (let i = 0; i < 2; i += 1) await chat(fleet);
  assert.deepEqual(
    worker.received.flatMap(({ rawHeaders }) => valuesOf(rawHeaders, 'x-data-parallel-rank')).toSorted(),
    ['2', '5'],
  );
});

test('where the router chooses the rank, the client does not', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startFleet({ workers: [], extraWorkerUrls: [`${worker.url}@1`] });
  await chat(fleet, {}, { headers: { 'X-Data-Parallel-Rank': '0' } });
  assert.deepEqual(valuesOf(worker.last.rawHeaders, 'x-data-parallel-rank'), ['1']);
});

test('where it does not, the client may', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker]);
  await chat(fleet, {}, { headers: { 'X-Data-Parallel-Rank': '3' } });
  assert.deepEqual(valuesOf(worker.last.rawHeaders, 'x-data-parallel-rank'), ['3']);
});

test('the engines of a data-parallel server share the work evenly', async () => {
  await using fleet = await startFleet({
    workers: [{ dataParallelSize: 2 }],
    router: { ...ROUND_ROBIN, intraNodeDataParallelSize: 2 },
  });
  const [server] = fleet.workers;
  assert.equal(server?.engines.length, 2);
  for (let i = 0; i < 4; i += 1) assert.equal((await chat(fleet)).status, 200);
  assert.deepEqual(
    server.seen
      .filter(({ method }) => method === 'POST')
      .map(({ headers }) => headers['x-data-parallel-rank'])
      .toSorted(),
    ['0', '0', '1', '1'],
  );
  const metrics = await fleet.metrics();
  for (const rank of [0, 1])
    assert.match(
      metrics,
      new RegExp(`vllm_router_processed_requests_total\\{[^}]*worker="${server.url}@${rank}"[^}]*\\} 2`),
    );
});

test('what a server tells of its caches is known of each rank, and shown', async () => {
  await using fleet = await startFleet({
    workers: [{ dataParallelSize: 2, model: { blockSize: 32, blocks: 512 } }],
    router: { intraNodeDataParallelSize: 2, loadCheckIntervalSecs: 10_000 },
  });
  await eventually(() => fleet.app.runtime.registry.workers.every(({ cacheConfig }) => cacheConfig));
  const { body } = await adminOf(fleet)('GET', '/workers');
  const each = { block_size: 32, blocks: 512, prefix_caching: true };
  assert.deepEqual(
    body.workers.map(({ cache }: { readonly cache: unknown }) => cache),
    Array(2 * fleet.all.length).fill(each),
  );
});
