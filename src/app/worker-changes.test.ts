import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { VirtualClock } from '../base/virtual-clock.ts';
import { DEFAULT_TRAITS, type WorkerSpec, type WorkerTraits } from '../config/settings/settings.ts';
import { LoadLedger } from '../workers/ledger.ts';
import { WorkerRegistry } from '../workers/registry.ts';
import { idsOf, workerChanges, type WorkerChanges } from './worker-changes.ts';

function spec(id: string, more: Partial<WorkerSpec> = {}): WorkerSpec {
  const [baseUrl = '', rank] = id.split('@');
  return {
    baseUrl,
    rank: rank === undefined ? undefined : Number(rank),
    id,
    apiKey: undefined,
    traits: DEFAULT_TRAITS,
    ...more,
  };
}

/** A fleet of workers that came from the configuration (`before`) and from the API. */
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
  readonly before: readonly WorkerSpec[];
  readonly #api = new Map<string, WorkerSpec>();

  constructor(before: readonly WorkerSpec[], api: readonly WorkerSpec[] = []) {
    this.before = before;
    for (const one of [...before, ...api]) if (!this.registry.get(one.id)) this.registry.add(one);
    for (const one of api) this.#api.set(one.id, one);
  }

  to(after: readonly WorkerSpec[], apiKey?: string): WorkerChanges {
    return workerChanges(this.before, after, {
      workers: this.registry.workers,
      get: (id) => this.registry.get(id),
      cameLater: ({ id }) => this.#api.has(id),
      isLeaving: ({ draining }) => draining,
      specOf: (worker) => ({ ...worker.spec, apiKey: this.#api.get(worker.id)?.apiKey ?? apiKey }),
    });
  }
}

const ids = (list: readonly { readonly id: string }[]): string[] => list.map(({ id }) => id);
const NOTHING: WorkerChanges = { join: [], keep: [], respec: [], retire: [], conflicts: [] };

describe('workerChanges', () => {
  it('does nothing where nothing differs', () => {
    const bench = new Bench([spec('a'), spec('b@0'), spec('b@1')], [spec('api')]);
    assert.deepEqual(bench.to([spec('b@1'), spec('a'), spec('b@0')]), NOTHING);
  });

  it('lets new ones join and retires those that are named no more', () => {
    const changes = new Bench([spec('a'), spec('b')]).to([spec('b'), spec('c')]);
    assert.deepEqual([ids(changes.join), ids(changes.retire)], [['c'], ['a']]);
    assert.deepEqual([changes.keep, changes.respec, changes.conflicts], [[], [], []]);
  });

  it('leaves alone what the API registered, named once or not', () => {
    const bench = new Bench([spec('a'), spec('both')], [spec('api'), spec('both')]);
    const changes = bench.to([]);
    assert.deepEqual(ids(changes.retire), ['a']);
    const again = new Bench([], [spec('api', { apiKey: 'own' })]).to(
      [spec('api', { apiKey: 'general' })],
      'general',
    );
    assert.deepEqual(again, NOTHING);
  });

  it('leaves alone what came in some other way', () => {
    const bench = new Bench([spec('a')]);
    bench.registry.add(spec('discovered'));
    assert.deepEqual(bench.to([spec('a')]), NOTHING);
  });

  it('takes ranks for what they are: neither of them is the server as a whole', () => {
    const ranks = [spec('a@0'), spec('a@1')];
    assert.deepEqual(new Bench(ranks).to(ranks), NOTHING);
    const fewer = new Bench(ranks).to([spec('a@1')]);
    assert.deepEqual(ids(fewer.retire), ['a@0']);
  });

  it('takes back a worker that is being drained or is gone, for the configuration names it', () => {
    const bench = new Bench([spec('a'), spec('b')]);
    const [a, b] = bench.registry.workers;
    if (!a || !b) assert.fail();
    a.draining = true;
    bench.registry.remove(b);
    const changes = bench.to([spec('a'), spec('b')]);
    assert.deepEqual([ids(changes.keep), ids(changes.join)], [['a'], ['b']]);
  });

  it('does not retire twice', () => {
    const bench = new Bench([spec('a')]);
    const [a] = bench.registry.workers;
    if (!a) assert.fail();
    a.draining = true;
    assert.deepEqual(bench.to([]), NOTHING);
  });

  it('gives another key and other traits to workers in place', () => {
    const bench = new Bench([spec('a'), spec('b')], [spec('api'), spec('own', { apiKey: 'own' })]);
    const after = [
      spec('a', { apiKey: 'new' }),
      spec('b', { apiKey: 'new', traits: { ...DEFAULT_TRAITS, cost: 3 } }),
    ];
    const { respec, join, retire } = bench.to(after, 'new');
    assert.deepEqual(
      respec.map(({ worker, spec: { apiKey, traits } }) => [worker.id, apiKey, traits.cost]),
      [
        ['a', 'new', 1],
        ['b', 'new', 3],
        ['api', 'new', 1],
      ],
    );
    assert.deepEqual([join, retire], [[], []]);
  });

  it('puts right what was said of a worker through the API while it ran', () => {
    const bench = new Bench([spec('a')]);
    const [a] = bench.registry.workers;
    if (!a) assert.fail();
    bench.registry.setTraits(a, { ...DEFAULT_TRAITS, priority: 9 });
    assert.deepEqual(ids(bench.to([spec('a')]).respec.map(({ worker }) => worker)), ['a']);
  });

  it('refuses a server in another form while the first one stays', () => {
    const api = new Bench([], [spec('a@0')]).to([spec('a')]);
    assert.deepEqual(api.conflicts, [
      'a cannot join: the same server is registered as a@0; remove that one first',
    ]);
    // One that the same reload retires, or that is on its way out, is no obstacle.
    assert.deepEqual(new Bench([spec('a@0')]).to([spec('a')]).conflicts, []);
    const bench = new Bench([], [spec('a@0')]);
    const [leaving] = bench.registry.workers;
    if (!leaving) assert.fail();
    leaving.draining = true;
    assert.deepEqual(bench.to([spec('a')]).conflicts, []);
  });
});

describe('a worker with a role', () => {
  const withTraits = (id: string, traits: Partial<WorkerTraits>): WorkerSpec =>
    spec(id, { traits: { ...DEFAULT_TRAITS, ...traits } });

  it('keeps it: the reload that says otherwise is refused', () => {
    const bench = new Bench([withTraits('a', { role: 'prefill' })]);
    assert.deepEqual(bench.to([withTraits('a', { role: 'decode' })]).conflicts, [
      'a is a prefill worker; to make it a decode worker, remove it first',
    ]);
    assert.deepEqual(bench.to([withTraits('a', { role: 'prefill', bootstrapPort: 9 })]).conflicts, []);
  });

  it('keeps what it has told itself, which is no change', () => {
    const said = withTraits('a', { role: 'prefill', kvTransfer: { tpSize: 2 } });
    const bench = new Bench([said]);
    const worker = bench.registry.get('a');
    if (!worker) assert.fail();
    const engineIds = { 0: 'engine' };
    bench.registry.setTraits(worker, { ...worker.traits, kvTransfer: { tpSize: 2, engineIds } });
    assert.deepEqual(bench.to([said]), NOTHING);
    const other = withTraits('a', { role: 'prefill', kvTransfer: { tpSize: 4 } });
    assert.deepEqual(bench.to([other]).respec, [{ worker, spec: other }]);
    bench.registry.respec(worker, other);
    assert.deepEqual(worker.traits.kvTransfer, { tpSize: 4, engineIds });
  });
});

describe('the workers of a report', () => {
  it('are the servers where all of their ranks stand together', () => {
    const ranksPerUrl = { regular: 2, prefill: 1, decode: 1 };
    const defaults = { ranksPerUrl, apiKeys: new Map<string, string>(), apiKey: undefined };
    assert.deepEqual(idsOf([spec('a@0'), spec('a@1'), spec('b@1')], defaults), ['a', 'b@1']);
    assert.deepEqual(
      idsOf([spec('a@0'), spec('c')], { ...defaults, ranksPerUrl: { ...ranksPerUrl, regular: 1 } }),
      ['a@0', 'c'],
    );
  });
});
