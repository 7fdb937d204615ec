import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BREAKER, HEALTH } from '../../../test/support/registry-settings.ts';
import { VirtualClock } from '../../base/virtual-clock.ts';
import type { KvConnector } from '../../config/settings/pd-settings.ts';
import { DEFAULT_TRAITS, type WorkerTraits } from '../../config/settings/settings.ts';
import { LoadLedger } from '../../workers/ledger.ts';
import { WorkerRegistry } from '../../workers/registry.ts';
import type { Worker } from '../../workers/worker.ts';
import { BootstrapWatch } from './bootstrap-watch.ts';
import type { BootstrapAnswer, EngineIds } from './mooncake-bootstrap.ts';

const FAILED: BootstrapAnswer = { kind: 'failed', reason: 'nobody there' };
const told = (engineIds: EngineIds): BootstrapAnswer => ({ kind: 'told', engineIds });

class Bench {
  readonly clock = new VirtualClock();
  readonly registry = new WorkerRegistry({
    ...{
      clock: this.clock,
      ledger: new LoadLedger(this.clock),
      breaker: BREAKER,
      health: HEALTH,
      slowStartMs: 0,
    },
  });
  connector: KvConnector = 'auto';
  readonly answers: BootstrapAnswer[] = [];
  /** When, and whom. */
  readonly asked: string[] = [];
  readonly news: string[] = [];
  readonly watch = new BootstrapWatch({
    ...{ registry: this.registry, clock: this.clock, connector: () => this.connector },
    ask: ({ id }) => {
      this.asked.push(`${this.clock.now()} ${id}`);
      return Promise.resolve(this.answers.shift() ?? FAILED);
    },
    onAnswer: (_, { kind }, isNew) => {
      if (isNew) this.news.push(kind);
    },
  });

  add(id: string, traits: Partial<WorkerTraits> = {}): Worker {
    const [baseUrl = '', rank] = id.split('@');
    const all = { ...DEFAULT_TRAITS, role: 'prefill', bootstrapPort: 8998, ...traits } as const;
    const of = { baseUrl, rank: rank === undefined ? undefined : Number(rank), apiKey: undefined };
    return this.registry.add({ ...of, id, traits: all });
  }

  report(worker: Worker, ok: boolean): void {
    for (let check = 0; check < 5; check += 1) this.registry.reportCheck(worker, ok);
  }

  async pass(ms: number): Promise<void> {
    this.clock.advance(ms);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

const idsOf = ({ traits }: Worker): EngineIds | undefined => traits.kvTransfer?.engineIds;

describe('the engines of a prefill worker', () => {
  it('are asked for when it is healthy, once for all ranks, beside what else is known of it', async () => {
    const bench = new Bench();
    bench.watch.start();
    const ranks = [0, 1].map((rank) => bench.add(`http://p@${rank}`, { kvTransfer: { tpSize: 2 } }));
    await bench.pass(10_000);
    assert.deepEqual(bench.asked, []);
    bench.answers.push(told({ 0: 'a', 1: 'b' }));
    for (const worker of ranks) bench.report(worker, true);
    await bench.pass(0);
    for (const { traits } of ranks)
      assert.deepEqual(traits.kvTransfer, { tpSize: 2, engineIds: { 0: 'a', 1: 'b' } });
    await bench.pass(3_600_000);
    assert.deepEqual(bench.asked, ['10000 http://p@0']);
  });

  it('are asked for again after longer and longer pauses while there is no answer, which is told of once', async () => {
    const bench = new Bench();
    bench.watch.start();
    const worker = bench.add('http://p');
    bench.report(worker, true);
    for (let second = 0; second <= 70; second += 1) await bench.pass(second === 0 ? 0 : 1000);
    assert.deepEqual(
      bench.asked.map((at) => Number(at.split(' ')[0]) / 1000),
      [0, 1, 3, 7, 15, 31, 61],
    );
    bench.answers.push(told({ 0: 'late' }));
    await bench.pass(30_000);
    assert.deepEqual([idsOf(worker), bench.news], [{ 0: 'late' }, ['failed', 'told']]);
  });

  it('are others after a restart: the old ones are forgotten with its health', async () => {
    const bench = new Bench();
    bench.watch.start();
    const worker = bench.add('http://p');
    bench.answers.push(told({ 0: 'old' }));
    bench.report(worker, true);
    await bench.pass(0);
    assert.deepEqual(idsOf(worker), { 0: 'old' });
    bench.report(worker, false);
    assert.equal(idsOf(worker), undefined);
    await bench.pass(60_000);
    bench.answers.push(FAILED, told({ 0: 'new' }));
    bench.report(worker, true);
    await bench.pass(0);
    assert.equal(idsOf(worker), undefined);
    await bench.pass(1000);
    assert.deepEqual(idsOf(worker), { 0: 'new' });
  });

  it('are asked for after a transfer failed, once a second however many fail', async () => {
    const bench = new Bench();
    bench.watch.start();
    const worker = bench.add('http://p');
    bench.answers.push(told({ 0: 'old' }), told({ 0: 'old' }), told({ 0: 'new' }));
    bench.report(worker, true);
    await bench.pass(0);
    await bench.pass(5000);
    const fail = (times: number): void => {
      for (let i = 0; i < times; i += 1) bench.registry.reportTransferFailed(worker);
    };
    fail(100);
    bench.clock.advance(0);
    // While the question is on its way.
    fail(100);
    await bench.pass(0);
    assert.deepEqual(idsOf(worker), { 0: 'old' });
    await bench.pass(1000);
    assert.deepEqual(idsOf(worker), { 0: 'new' });
    await bench.pass(60_000);
    assert.equal(bench.asked.length, 3);
    assert.deepEqual(bench.news, ['told', 'told']);
  });

  it('stay known when the worker is described anew, and are asked for at the port that it has then', async () => {
    const bench = new Bench();
    bench.watch.start();
    const worker = bench.add('http://p');
    bench.answers.push(told({ 0: 'a' }), told({ 0: 'b' }));
    bench.report(worker, true);
    await bench.pass(0);
    const described = (traits: Partial<WorkerTraits>): void =>
      bench.registry.respec(worker, { ...worker.spec, traits: { ...worker.spec.traits, ...traits } });
    described({ priority: 7 });
    assert.deepEqual(idsOf(worker), { 0: 'a' });
    described({ bootstrapPort: 9000 });
    assert.equal(idsOf(worker), undefined);
    await bench.pass(0);
    assert.deepEqual(idsOf(worker), { 0: 'b' });
  });

  it('are asked for where they are needed: of prefill workers, by the connector', async () => {
    const bench = new Bench();
    const all = [
      bench.add('http://decode', { role: 'decode' }),
      bench.add('http://regular', { role: 'regular' }),
      bench.add('http://no-port', { bootstrapPort: undefined }),
      bench.add('unix:///p.sock'),
      bench.add('http://p'),
    ];
    const askedNow = (): string[] => bench.asked.splice(0).map((at) => at.split(' ')[1] ?? '');
    for (const worker of all) bench.report(worker, true);
    bench.watch.start();
    await bench.pass(0);
    assert.deepEqual(askedNow(), ['http://p']);
    bench.connector = 'mooncake';
    bench.watch.reconfigure();
    await bench.pass(0);
    assert.deepEqual(askedNow(), ['http://no-port']);
    bench.connector = 'nixl';
    bench.watch.reconfigure();
    await bench.pass(60_000);
    assert.deepEqual(askedNow(), []);
    bench.connector = 'mooncake';
    bench.watch.reconfigure();
    bench.watch.stop();
    await bench.pass(60_000);
    assert.deepEqual(askedNow(), []);
  });

  it('are not asked for after it has left', async () => {
    const bench = new Bench();
    bench.watch.start();
    const worker = bench.add('http://p');
    bench.report(worker, true);
    await bench.pass(0);
    bench.registry.remove(worker);
    await bench.pass(3_600_000);
    assert.equal(bench.asked.length, 1);
  });
});
