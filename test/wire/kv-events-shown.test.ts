/** What an operator sees of the cache events of workers: in /workers, in the metrics and in the log. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { adminOf, type Parsed } from '../support/admin.ts';
import { startFleet, type Fleet } from '../support/fleet.ts';
import { complete, promptOf } from '../support/known-prompts.ts';
import { scrape } from '../support/metrics.ts';
import { recordingLog } from '../support/recording-log.ts';

const router = { policy: 'kv_aware' } as const;

/** What `/workers` says of the events of a worker, once that is so. */
async function shown(fleet: Fleet, url: string, isSo: (events: Parsed) => boolean): Promise<Parsed> {
  const admin = adminOf(fleet);
  const until = performance.now() + 10_000;
  for (;;) {
    const { body } = await admin('GET', `/workers/${encodeURIComponent(url)}`);
    if (isSo(body.kv_events)) return body.kv_events;
    assert.ok(performance.now() < until, JSON.stringify(body.kv_events));
  }
}

interface Line {
  readonly message: string;
  readonly fields: Record<string, unknown>;
}

/** What lines that say so tell, but for those of workers that compute prompts for others: they publish no events. */
function linesAbout(lines: readonly Line[], words: string, { prefills }: Fleet): Line['fields'][] {
  const others = prefills.map(({ url }): unknown => url);
  const about = lines.filter(({ message }) => message.includes(words)).map(({ fields }) => fields);
  return about.filter(({ worker }) => !others.includes(worker));
}

describe('what is seen of events', () => {
  it('is their state, how far they are, and what came', async () => {
    const lines: Line[] = [];
    await using fleet = await startFleet({
      workers: [{ kvEvents: true, dataParallelSize: 2 }],
      router,
      log: recordingLog(lines),
    });
    const [worker] = fleet.workers;
    assert.ok(worker);
    await shown(fleet, worker.url, ({ state }) => state === 'live');
    await complete(worker.url, promptOf(1, 5), { 'x-data-parallel-rank': '1' });
    const { ranks, reason } = await shown(fleet, worker.url, (seen) => seen.ranks[1]?.batches > 0);
    assert.equal(reason, null);
    const [first, second] = ranks;
    const { port, replayPort } = worker.kvEvents[1] ?? {};
    assert.deepEqual(
      { ...second, last_event_age_secs: 0, sequence: 0, batches: 0 },
      {
        ...{ rank: 1, state: 'live', coverage: 'whole', endpoint: `tcp://127.0.0.1:${port}` },
        ...{ replay_endpoint: `tcp://127.0.0.1:${replayPort}`, reason: null, last_event_age_secs: 0 },
        ...{ sequence: 0, batches: 0, stored: 5, removed: 0, cleared: 0, gaps: 0, restarts: 0 },
        ...{ malformed: 0, parked_bytes: 0 },
      },
    );
    assert.ok(second.last_event_age_secs < 10 && second.sequence >= 0);
    assert.deepEqual([first.stored, first.last_event_age_secs], [0, null]);
    const metrics = await scrape(fleet);
    const of = { worker: worker.url };
    assert.equal(metrics.value('vllm_router_kv_events_state', of), 2);
    assert.equal(metrics.value('vllm_router_kv_events_total', { ...of, kind: 'stored' }), 5);
    assert.equal(metrics.value('vllm_router_kv_events_replays_total', { ...of, outcome: 'complete' }), 2);
    assert.equal(metrics.value('vllm_router_kv_index_entries'), 5);
    assert.ok(metrics.value('vllm_router_kv_index_bytes') > 0);
    assert.deepEqual(linesAbout(lines, 'cache events', fleet), [of]);
  });

  it('is what could not be used, and an engine that began anew', async () => {
    await using fleet = await startFleet({ workers: [{ kvEvents: true }], router });
    const [worker] = fleet.workers;
    assert.ok(worker);
    await shown(fleet, worker.url, ({ state }) => state === 'live');
    await worker.setFaults(['kv_garbage:times=1']);
    await complete(worker.url, promptOf(1, 2));
    await shown(fleet, worker.url, ({ ranks }) => ranks[0].malformed === 1);
    await worker.setFaults(['kv_restart']);
    await complete(worker.url, promptOf(2, 2));
    await shown(fleet, worker.url, ({ ranks }) => ranks[0].restarts === 1);
    const metrics = await scrape(fleet);
    assert.equal(metrics.value('vllm_router_kv_events_malformed_total', { worker: worker.url }), 1);
    assert.equal(metrics.value('vllm_router_kv_events_restarts_total', { worker: worker.url }), 1);
  });

  it('is why there are none, once in the log', async () => {
    const lines: Line[] = [];
    const log = recordingLog(lines);
    await using fleet = await startFleet({ workers: [{}], router, log });
    const [worker] = fleet.workers;
    assert.ok(worker);
    const none = await shown(fleet, worker.url, ({ state }) => state === 'none');
    assert.deepEqual(none, { state: 'none', reason: 'it says that it publishes none', ranks: [] });
    assert.deepEqual(linesAbout(lines, 'no cache events', fleet), [
      { worker: worker.url, reason: 'it says that it publishes none' },
    ]);
    assert.equal((await scrape(fleet)).value('vllm_router_kv_events_state', { worker: worker.url }), 0);
  });
});
