import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BREAKER, HEALTH } from '../../test/support/registry-settings.ts';
import { JoinedMemory, ownMemory, SharedMemory } from '../base/thread-memory.ts';
import { VirtualClock } from '../base/virtual-clock.ts';
import { DEFAULT_TRAITS } from '../config/settings/settings.ts';
import { LoadLedger } from './ledger.ts';
import { WorkerRegistry } from './registry.ts';
import { WorkerWait, type WorkerWaitEntry, type WorkerWaitOutcome } from './worker-wait.ts';
import type { Worker } from './worker.ts';

class Bench {
  readonly clock = new VirtualClock();
  readonly registry = new WorkerRegistry({
    ...{ clock: this.clock, ledger: new LoadLedger(this.clock), breaker: BREAKER, health: HEALTH },
    slowStartMs: 0,
  });
  readonly wait: WorkerWait;
  readonly ended: [string, WorkerWaitOutcome][] = [];
  looks = 0;

  constructor(most = 10, memory = ownMemory()) {
    this.wait = new WorkerWait({ registry: this.registry, clock: this.clock, most, memory });
  }

  join(id: string): Worker {
    return this.registry.add({ baseUrl: id, rank: undefined, id, apiKey: undefined, traits: DEFAULT_TRAITS });
  }

  /** Waits for a healthy worker that lists the model. */
  enter(name: string, model = 'm', timeoutMs = 1000): WorkerWaitEntry {
    const entry = this.wait.enter(
      {
        key: model,
        canBeServed: () => {
          this.looks += 1;
          return this.registry.workers.some((worker) => worker.health.healthy && worker.models.has(model));
        },
      },
      timeoutMs,
    );
    if (entry.kind === 'waiting') void entry.ended.then((outcome) => this.ended.push([name, outcome]));
    return entry;
  }
}

/** Lets promises that have been resolved be heard. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('waiting for a worker', () => {
  it('ends also where another thread has made room, of which nobody tells', async () => {
    const [alone, beside] = [new Bench(), new Bench(10, new SharedMemory(2))];
    for (const bench of [alone, beside]) {
      bench.enter('r');
      await turn();
      const { looks } = bench;
      bench.clock.advance(500);
      assert.equal(bench.looks - looks, bench === beside ? 10 : 0);
    }
    const worker = beside.join('w');
    beside.registry.setModels(worker, new Set(['m']), []);
    worker.health.healthy = true;
    beside.clock.advance(50);
    await turn();
    assert.deepEqual(beside.ended, [['r', 'worker_came']]);
    const { looks } = beside;
    beside.clock.advance(500);
    assert.equal(beside.looks, looks, 'nobody waits any more');
  });

  it('ends when a worker that can serve becomes healthy, and not before', async () => {
    const bench = new Bench();
    bench.enter('r');
    const worker = bench.join('w');
    bench.registry.setModels(worker, new Set(['m']), []);
    await turn();
    assert.deepEqual(bench.ended, []);
    bench.registry.reportCheck(worker, true);
    await turn();
    assert.deepEqual(bench.ended, [['r', 'worker_came']]);
    assert.equal(bench.wait.size, 0);
  });

  it('ends when a healthy worker comes to list the model', async () => {
    const bench = new Bench();
    const worker = bench.join('w');
    bench.registry.reportCheck(worker, true);
    bench.enter('r');
    bench.registry.setModels(worker, new Set(['m']), []);
    await turn();
    assert.deepEqual(bench.ended, [['r', 'worker_came']]);
  });

  it('lets those go whose wish came true, in the order of their coming, and only those', async () => {
    const bench = new Bench();
    bench.enter('first');
    bench.enter('other', 'other');
    bench.enter('second');
    const worker = bench.join('w');
    bench.registry.setModels(worker, new Set(['m']), []);
    bench.registry.reportCheck(worker, true);
    await turn();
    assert.deepEqual(bench.ended, [
      ['first', 'worker_came'],
      ['second', 'worker_came'],
    ]);
    assert.equal(bench.wait.size, 1);
  });

  it('looks once per wish at everything that changes in one turn', async () => {
    const bench = new Bench(1000);
    for (let i = 0; i < 500; i += 1) bench.enter(`r${i}`);
    for (let i = 0; i < 500; i += 1) {
      const worker = bench.join(`w${i}`);
      bench.registry.setModels(worker, new Set(['n']), []);
      bench.registry.reportCheck(worker, true);
    }
    await turn();
    assert.equal(bench.looks, 1);
    assert.equal(bench.wait.size, 500);
  });

  it('ends at its time', async () => {
    const bench = new Bench();
    bench.enter('r', 'm', 1000);
    bench.clock.advance(999);
    await turn();
    assert.deepEqual(bench.ended, []);
    bench.clock.advance(1);
    await turn();
    assert.deepEqual(bench.ended, [['r', 'timeout']]);
    assert.equal(bench.wait.size, 0);
  });

  it('is given up by leaving, once', async () => {
    const bench = new Bench();
    const entry = bench.enter('r');
    assert.equal(entry.kind, 'waiting');
    if (entry.kind !== 'waiting') return;
    entry.leave();
    entry.leave();
    bench.clock.advance(5000);
    await turn();
    assert.deepEqual(bench.ended, [['r', 'left']]);
  });

  it('is refused above the bound, which may change', () => {
    const bench = new Bench(1);
    assert.equal(bench.enter('a').kind, 'waiting');
    assert.equal(bench.enter('b').kind, 'full');
    bench.wait.reconfigure({ most: 2 });
    assert.equal(bench.enter('c').kind, 'waiting');
    assert.equal(new Bench(0).enter('d').kind, 'full');
  });

  it('ends for all when the router stops, and nobody enters afterwards', async () => {
    const bench = new Bench();
    bench.enter('a');
    bench.enter('b');
    bench.wait.close();
    assert.equal(bench.enter('c').kind, 'closed');
    await turn();
    assert.deepEqual(bench.ended, [
      ['a', 'closed'],
      ['b', 'closed'],
    ]);
    assert.equal(bench.clock.pending, 0);
  });
});

it('as many wait as may, in all threads together; those of one that died do not count', async () => {
  const memory = new SharedMemory(2);
  const control = new Bench(2, memory);
  const [one, other] = [1, 2].map(
    (self) => new Bench(9, new JoinedMemory(memory.regions, { rows: 3, self })),
  );
  assert.ok(one && other);
  assert.deepEqual(
    [one.enter('a'), other.enter('b'), one.enter('c')].map(({ kind }) => kind),
    ['waiting', 'waiting', 'full'],
  );
  assert.deepEqual([control.wait.size, one.wait.size], [2, 2]);
  one.clock.advance(1000);
  assert.deepEqual([other.enter('d').kind, other.enter('e').kind], ['waiting', 'full']);
  control.wait.reclaim(2);
  assert.equal(one.wait.size, 0);
  control.wait.reconfigure({ most: 1 });
  assert.deepEqual([one.enter('f').kind, one.enter('g').kind], ['waiting', 'full']);
  one.wait.close();
  await turn();
  assert.equal(control.enter('h').kind, 'waiting');
});
