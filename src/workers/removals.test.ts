import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BREAKER, HEALTH } from '../../test/support/registry-settings.ts';
import { VirtualClock } from '../base/virtual-clock.ts';
import { DEFAULT_TRAITS } from '../config/settings/settings.ts';
import { JobQueue } from './jobs.ts';
import { LoadLedger, type Lease } from './ledger.ts';
import { WorkerRegistry } from './registry.ts';
import { Removals, type RemovalOutcome } from './removals.ts';
import type { Worker } from './worker.ts';

class Bench {
  readonly clock = new VirtualClock();
  readonly ledger = new LoadLedger(this.clock);
  readonly registry = new WorkerRegistry({
    clock: this.clock,
    ledger: this.ledger,
    breaker: BREAKER,
    health: HEALTH,
    slowStartMs: 0,
  });
  readonly jobs = new JobQueue<string>({
    clock: this.clock,
    limits: { running: { add: 1, remove: Infinity }, open: 4, ended: 10 },
    onEnd: () => undefined,
  });
  readonly removed: string[] = [];
  readonly removals = new Removals<string>({
    registry: this.registry,
    ledger: this.ledger,
    clock: this.clock,
    jobs: this.jobs,
    onRemoved: ({ id }, cut) => this.removed.push(`${id} ${cut}`),
  });

  add(rank?: number): Worker {
    const baseUrl = 'http://w';
    const id = rank === undefined ? baseUrl : `${baseUrl}@${rank}`;
    return this.registry.add({ baseUrl, rank, id, apiKey: undefined, traits: DEFAULT_TRAITS });
  }

  send({ slot }: Worker): Lease {
    return this.ledger.acquire(slot, { prefillTokens: 10, kvTokens: 20, stream: true });
  }

  start(workers: readonly Worker[], timeoutMs = 1000, explicit = false): RemovalOutcome<string> {
    return this.removals.start('http://w', workers, 'about', { timeoutMs, explicit });
  }

  get ids(): string[] {
    return this.registry.workers.map(({ id }) => id);
  }
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('Removals', () => {
  it('removes an idle worker at once', async () => {
    const bench = new Bench();
    const worker = bench.add();
    const outcome = bench.start([worker]);
    assert.equal(outcome.kind, 'accepted');
    await settled();
    assert.deepEqual(bench.ids, []);
    assert.deepEqual(bench.removed, ['http://w 0']);
    assert.equal(bench.jobs.of('http://w')?.state.name, 'done');
    assert.equal(bench.clock.pending, 0);
  });

  it('stops new requests at once and waits for those under way', async () => {
    const bench = new Bench();
    const worker = bench.add();
    const [one, other] = [bench.send(worker), bench.send(worker)];
    bench.start([worker]);
    assert.equal(worker.draining, true);
    one.release();
    await settled();
    assert.deepEqual(bench.ids, ['http://w']);
    bench.clock.advance(400);
    assert.equal(bench.removals.of(worker)?.leftMs, 600);
    other.release();
    await settled();
    assert.deepEqual(bench.removed, ['http://w 0']);
    assert.equal(bench.removals.has(worker), false);
    assert.equal(bench.clock.pending, 0);
  });

  it('cuts what is still running when the time is up', async () => {
    const bench = new Bench();
    const worker = bench.add();
    const lease = bench.send(worker);
    const part = {
      place: -1,
      awaited: undefined,
      cut: () => {
        worker.inFlight.delete(part);
        lease.release();
      },
    };
    worker.inFlight.add(part);
    bench.start([worker]);
    bench.clock.advance(999);
    assert.equal(worker.inFlight.size, 1);
    bench.clock.advance(1);
    await settled();
    assert.equal(worker.inFlight.size, 0);
    assert.deepEqual(bench.removed, ['http://w 1']);
    assert.equal(bench.ledger.openLeases, 0);
  });

  it('says how it stands when asked again, and takes a new limit only where one is given', () => {
    const bench = new Bench();
    const worker = bench.add();
    bench.send(worker);
    const first = bench.start([worker], 1000);
    bench.clock.advance(300);
    const again = bench.start([worker], 1000);
    assert.equal(again.kind, 'draining');
    assert.equal('leftMs' in again && again.leftMs, 700);
    assert.equal('job' in again && 'job' in first && again.job === first.job, true);
    const shorter = bench.start([worker], 50, true);
    assert.equal('leftMs' in shorter && shorter.leftMs, 50);
    bench.clock.advance(50);
    assert.equal(bench.removals.of(worker)?.leftMs ?? 0, 0);
  });

  it('is called off for a worker that is wanted again', async () => {
    const bench = new Bench();
    const worker = bench.add();
    const lease = bench.send(worker);
    bench.start([worker]);
    assert.deepEqual(bench.removals.cancel([worker]), [worker]);
    assert.equal(worker.draining, false);
    const state = bench.jobs.of('http://w')?.state;
    assert.deepEqual(state?.name === 'failed' && state.reason, 'registered again');
    lease.release();
    bench.clock.advance(10_000);
    await settled();
    assert.deepEqual(bench.ids, ['http://w']);
    assert.deepEqual(bench.removals.cancel([worker]), []);
    assert.equal(bench.start([worker]).kind, 'accepted');
  });

  it('removes ranks each in its time, and goes on with the others when one is wanted again', async () => {
    const bench = new Bench();
    const [a, b, c] = [bench.add(0), bench.add(1), bench.add(2)];
    const leases = [a, b].map((worker) => bench.send(worker));
    bench.start([a, b, c]);
    await settled();
    assert.deepEqual(bench.ids, ['http://w@0', 'http://w@1']);
    bench.removals.cancel([a]);
    assert.equal(bench.jobs.of('http://w')?.state.name, 'running');
    assert.equal(bench.start([a, b]).kind, 'conflict');
    assert.equal(a.draining, false);
    for (const lease of leases) lease.release();
    await settled();
    assert.deepEqual(bench.ids, ['http://w@0']);
    assert.equal(bench.jobs.of('http://w')?.state.name, 'done');
  });

  it('leaves the worker in service where there is no place for a job', () => {
    const bench = new Bench();
    const worker = bench.add();
    bench.send(worker);
    for (const target of ['a', 'b', 'c', 'd']) {
      bench.jobs.submit({ kind: 'remove', target, about: '', step: () => new Promise(() => undefined) });
    }
    assert.equal(bench.start([worker]).kind, 'full');
    assert.equal(worker.draining, false);
    assert.equal(bench.removals.has(worker), false);
    assert.equal(bench.clock.pending, 0);
  });
});
