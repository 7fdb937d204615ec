import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { VirtualClock } from '../base/virtual-clock.ts';
import { DEFAULT_TRAITS } from '../config/settings/settings.ts';
import { LoadLedger } from '../workers/ledger.ts';
import { WorkerRegistry } from '../workers/registry.ts';
import type { Worker } from '../workers/worker.ts';
import { Retirements } from './retirements.ts';

class Bench {
  readonly clock = new VirtualClock();
  readonly registry = new WorkerRegistry({
    clock: this.clock,
    ledger: new LoadLedger(this.clock),
    breaker: {
      enabled: true,
      failureThreshold: 1,
      successThreshold: 1,
      openMs: 1,
      windowMs: 1,
      halfOpenTrials: 1,
    },
    health: { path: '/', intervalMs: 1, timeoutMs: 1, failureThreshold: 1, successThreshold: 1 },
    slowStartMs: 0,
  });
  readonly retired: string[] = [];
  readonly retirements = new Retirements({
    clock: this.clock,
    registry: this.registry,
    retire: (worker) => {
      this.retired.push(worker.id);
      worker.draining = true;
    },
  });

  /** Healthy where it has models, else as one that has just joined. */
  add(id: string, ...models: string[]): Worker {
    const worker = this.registry.add({
      ...{ baseUrl: id, rank: undefined, id, apiKey: undefined, traits: DEFAULT_TRAITS },
    });
    if (models.length > 0) this.heal(worker, ...models);
    return worker;
  }

  heal(worker: Worker, ...models: string[]): void {
    this.registry.setModels(worker, new Set(models), []);
    this.registry.reportCheck(worker, true);
  }
}

describe('workers that are named no more', () => {
  it('go at once where nobody is to replace them', () => {
    const bench = new Bench();
    bench.retirements.begin([bench.add('a', 'm')], [], 1000);
    assert.deepEqual(bench.retired, ['a']);
  });

  it('go on until the one that replaces them is healthy', () => {
    const bench = new Bench();
    const [a, b] = [bench.add('a', 'm'), bench.add('b', 'm')];
    const next = bench.add('next');
    bench.retirements.begin([a, b], [next], 1000);
    assert.deepEqual([bench.retired, bench.retirements.has(a)], [[], true]);
    bench.heal(next, 'm');
    assert.deepEqual([bench.retired, bench.retirements.has(a)], [['a', 'b'], false]);
    bench.clock.advance(5000);
    assert.equal(bench.retired.length, 2);
  });

  it('go at once where others that stay serve all that they serve', () => {
    const bench = new Bench();
    const [a, b] = [bench.add('a', 'm'), bench.add('b', 'm', 'only-b')];
    bench.add('stays', 'm', 'x');
    const next = bench.add('next');
    bench.retirements.begin([a, b], [next, bench.add('other')], 1000);
    assert.deepEqual(bench.retired, ['a']);
    bench.heal(next, 'only-b');
    assert.deepEqual(bench.retired, ['a', 'b']);
  });

  it('go when all that joined are there, whatever those serve', () => {
    const bench = new Bench();
    const a = bench.add('a', 'm');
    const next = bench.add('next');
    bench.retirements.begin([a], [next], 1000);
    bench.heal(next, 'another');
    assert.deepEqual(bench.retired, ['a']);
  });

  it('go when time is up, or who was to replace them has left', () => {
    const late = new Bench();
    late.retirements.begin([late.add('a', 'm')], [late.add('next')], 1000);
    late.clock.advance(999);
    assert.deepEqual(late.retired, []);
    late.clock.advance(1);
    assert.deepEqual(late.retired, ['a']);
    const left = new Bench();
    const next = left.add('next');
    left.retirements.begin([left.add('a', 'm')], [next], 1000);
    left.registry.remove(next);
    assert.deepEqual(left.retired, ['a']);
  });

  it('do not hold on to a worker that serves nobody, is named again, or has gone', () => {
    const bench = new Bench();
    const [ill, kept, gone] = [bench.add('ill'), bench.add('kept', 'm'), bench.add('gone', 'm')];
    const next = bench.add('next');
    bench.retirements.begin([ill, kept, gone], [next], 1000);
    assert.deepEqual(bench.retired, ['ill']);
    bench.retirements.keep(kept);
    bench.registry.remove(gone);
    bench.heal(next, 'm');
    bench.clock.advance(5000);
    assert.deepEqual(bench.retired, ['ill']);
  });

  it('stay when the router stops', () => {
    const bench = new Bench();
    bench.retirements.begin([bench.add('a', 'm')], [bench.add('next')], 1000);
    bench.retirements.close();
    bench.clock.advance(5000);
    assert.deepEqual(bench.retired, []);
  });
});
