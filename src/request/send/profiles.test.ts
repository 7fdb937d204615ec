import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { recordingLog } from '../../../test/support/recording-log.ts';
import { BREAKER, HEALTH } from '../../../test/support/registry-settings.ts';
import { aloneInRouter, type ThreadPart } from '../../base/thread-part.ts';
import { JoinedMemory, SharedMemory } from '../../base/thread-memory.ts';
import { VirtualClock } from '../../base/virtual-clock.ts';
import { DEFAULT_TRAITS } from '../../config/settings/settings.ts';
import type { WorkerClient } from '../../engines/client.ts';
import { createMetrics } from '../../observe/metrics.ts';
import { LoadLedger } from '../../workers/ledger.ts';
import { WorkerRegistry } from '../../workers/registry.ts';
import type { Worker } from '../../workers/worker.ts';
import { Profiles } from './profiles.ts';

const LONG_MS = 10_000;

class Bench {
  readonly clock = new VirtualClock();
  readonly registry = new WorkerRegistry({
    ...{ clock: this.clock, ledger: new LoadLedger(this.clock) },
    ...{ breaker: BREAKER, health: HEALTH, slowStartMs: 0 },
  });
  readonly metrics = createMetrics();
  readonly lines: { message: string; fields: Record<string, unknown> }[] = [];
  /** What was posted, and to whom. */
  readonly posted: string[] = [];
  status = 200;
  readonly profiles = this.inThread(aloneInRouter());

  inThread(part: Pick<ThreadPart, 'memory'>): Profiles {
    const clientOf = ({ baseUrl }: { readonly baseUrl: string }): WorkerClient => ({
      send: ({ method, path }, sink) => {
        this.posted.push(`${method} ${baseUrl}${path}`);
        sink.onHead(this.status, '', []);
        sink.onEnd([]);
        return { pause: () => undefined, resume: () => undefined, abort: () => undefined };
      },
      close: () => undefined,
    });
    const { clock, registry, metrics } = this;
    return new Profiles({
      ...{ clock, registry, metrics, part, connections: { clientOf } },
      log: recordingLog(this.lines),
    });
  }

  add(id: string): Worker {
    const [baseUrl = '', rank] = id.split('@');
    const of = { baseUrl, rank: rank === undefined ? undefined : Number(rank), apiKey: undefined };
    return this.registry.add({ ...of, id, traits: DEFAULT_TRAITS });
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('the profile of a worker', () => {
  it('runs from the first of the requests that overlap to the end of the last one, over all ranks of a server', async () => {
    const bench = new Bench();
    const [first, second] = [bench.add('http://w@0'), bench.add('http://w@1')];
    const one = bench.profiles.begin(first, LONG_MS);
    const two = bench.profiles.begin(second, LONG_MS);
    await two.started;
    one.end();
    one.end();
    await turn();
    assert.deepEqual(bench.posted, ['POST http://w/start_profile']);
    two.end();
    await turn();
    assert.deepEqual(bench.posted, ['POST http://w/start_profile', 'POST http://w/stop_profile']);
    assert.equal(bench.profiles.size, 0);
  });

  it('ends with its time whatever happens, and what outlasts that has no part in the next one', async () => {
    const bench = new Bench();
    const worker = bench.add('http://w');
    const hangs = bench.profiles.begin(worker, LONG_MS);
    bench.clock.advance(LONG_MS);
    await turn();
    assert.deepEqual(bench.posted, ['POST http://w/start_profile', 'POST http://w/stop_profile']);
    const next = bench.profiles.begin(worker, LONG_MS);
    hangs.end();
    await turn();
    assert.equal(bench.posted.length, 3);
    next.end();
    await turn();
    assert.equal(bench.posted.length, 4);
    bench.clock.advance(10 * LONG_MS);
    await turn();
    assert.equal(bench.posted.length, 4);
  });

  it('is not ended while another thread has requests in it, but is once that thread has died', async () => {
    const bench = new Bench();
    const worker = bench.add('http://w');
    const memory = new SharedMemory(2);
    const control = bench.inThread({ memory });
    const [left, right] = [1, 2].map((row) =>
      bench.inThread({ memory: new JoinedMemory(memory.regions, { rows: 3, self: row }) }),
    );
    const here = left?.begin(worker, LONG_MS);
    right?.begin(worker, LONG_MS);
    here?.end();
    await turn();
    assert.deepEqual(bench.posted, ['POST http://w/start_profile', 'POST http://w/start_profile']);
    control.reclaim(2);
    left?.begin(worker, LONG_MS).end();
    await turn();
    assert.equal(bench.posted.at(-1), 'POST http://w/stop_profile');
  });

  it('that cannot be had is counted, and told of once', async () => {
    const bench = new Bench();
    bench.status = 404;
    const worker = bench.add('http://w');
    for (let round = 0; round < 2; round++) {
      const one = bench.profiles.begin(worker, LONG_MS);
      await one.started;
      one.end();
      await turn();
    }
    assert.equal(bench.metrics.pdProfileErrorsTotal.with('http://w').value, 4);
    assert.equal(bench.lines.length, 1);
    assert.deepEqual(bench.lines[0]?.fields, {
      ...{ worker: 'http://w', path: '/start_profile', reason: 'status 404' },
    });
  });
});
