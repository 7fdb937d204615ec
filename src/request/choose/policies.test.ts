import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BREAKER, HEALTH } from '../../../test/support/registry-settings.ts';
import { seededRandom } from '../../base/random.ts';
import { VirtualClock } from '../../base/virtual-clock.ts';
import { PredictedIndex } from '../../cache-knowledge/predicted-index.ts';
import { policyNamed } from '../../config/settings/policy-named.ts';
import { DEFAULT_TRAITS, type PolicySettings, type WorkerTraits } from '../../config/settings/settings.ts';
import { LoadLedger } from '../../workers/ledger.ts';
import { WorkerRegistry } from '../../workers/registry.ts';
import type { Worker } from '../../workers/worker.ts';
import { Policies, type PoliciesSettings } from './policies.ts';

const RANDOM: PolicySettings = { type: 'random' };
const TURNS: PolicySettings = { type: 'round_robin' };
const LEAST: PolicySettings = { type: 'least_work', theta: 0.3 };
const UNSPLIT = { prefillPolicy: undefined, decodePolicy: undefined, policyNamed: false };

class Bench {
  readonly clock = new VirtualClock();
  readonly ledger = new LoadLedger(this.clock);
  readonly registry = new WorkerRegistry({
    ...{ clock: this.clock, ledger: this.ledger, breaker: BREAKER, health: HEALTH },
    slowStartMs: 0,
  });
  readonly notices: string[] = [];
  readonly policies: Policies;
  indexes = 0;

  constructor(settings: Partial<PoliciesSettings> = {}) {
    const { clock, ledger, registry } = this;
    this.policies = new Policies(
      { policy: RANDOM, modelPolicies: [], pd: UNSPLIT, ...settings },
      {
        ...{ loads: ledger, clock, random: seededRandom(1), registry },
        openIndex: () => {
          this.indexes += 1;
          return new PredictedIndex({ maxBytes: 1e6, maxBlocksPerWorker: 100, clock, idleMs: 1e6 });
        },
        named: (name) => policyNamed(name, { loadCheckIntervalMs: 5000, cacheKnowledge: 'auto' }),
        onNotice: (worker, notice) => this.notices.push(`${worker.id}: ${notice}`),
      },
    );
  }

  join(id: string, models: readonly string[], traits: Partial<WorkerTraits> = {}): Worker {
    const spec = { baseUrl: id, rank: undefined, id, apiKey: undefined };
    const worker = this.registry.add({ ...spec, traits: { ...DEFAULT_TRAITS, ...traits } });
    this.registry.setModels(worker, new Set(models), []);
    return worker;
  }

  name(model: string): string {
    return this.policies.policyFor(model).name;
  }
}

const hint = (policy: string): Partial<WorkerTraits> => ({ labels: { policy } });

describe('which policy a model has', () => {
  it('is the default one where nobody says otherwise, and the very same object', () => {
    const { policies, join } = bench();
    join('w', ['a', 'b']);
    for (const model of ['a', 'b', 'unlisted', '']) assert.equal(policies.policyFor(model), policies.default);
  });

  it('is one of its own by a label of its workers, and the others keep the default', () => {
    const { bench: it, join } = bench();
    join('w1', ['a', 'shared'], hint('round_robin'));
    join('w2', ['b']);
    assert.deepEqual(
      [it.name('a'), it.name('shared'), it.name('b')],
      ['round_robin', 'round_robin', 'random'],
    );
    assert.notEqual(it.policies.policyFor('a'), it.policies.policyFor('shared'));
    assert.equal(it.policies.policyFor('a'), it.policies.policyFor('a'));
  });

  it('is what the first registered worker with a label asks for; another wish is said to have no effect', () => {
    const { bench: it, join } = bench();
    join('w1', ['m']);
    const first = join('w2', ['m'], hint('round_robin'));
    join('w3', ['m'], hint('least_work'));
    assert.equal(it.name('m'), 'round_robin');
    assert.deepEqual(it.notices, [
      'w3: labels.policy: least_work has no effect on m: w2 came first with round_robin',
    ]);
    it.registry.remove(first);
    assert.equal(it.name('m'), 'least_work');
  });

  it('is the default one where the label names no policy, which is said', () => {
    const { bench: it, join } = bench();
    const worker = join('w', ['m'], hint('fastest'));
    assert.equal(it.name('m'), 'random');
    assert.match(it.notices[0] ?? '', /^w: labels\.policy: there is no policy "fastest"/);
    assert.deepEqual(it.policies.noticesOf(worker).length, 1);
    join('w2', ['m'], hint('round_robin'));
    assert.equal(it.name('m'), 'round_robin');
  });

  it('is the configured one before a label: the exact name, else the longest beginning', () => {
    const modelPolicies = [
      { model: '*', policy: LEAST },
      { model: 'qwen*', policy: RANDOM },
      { model: 'qwen3-8b', policy: TURNS },
    ];
    const { bench: it, join } = bench({
      policy: { type: 'power_of_two', loadCheckIntervalMs: 1 },
      modelPolicies,
    });
    join('w', ['qwen3-8b', 'qwen2', 'llama3'], hint('power_of_two'));
    assert.deepEqual(
      ['qwen3-8b', 'qwen2', 'llama3', 'unlisted'].map((model) => it.name(model)),
      ['round_robin', 'random', 'least_work', 'least_work'],
    );
    // A request without a model is nobody's.
    assert.equal(it.name(''), 'power_of_two');
  });

  it('is the switched one before all, until it is switched back', () => {
    const { bench: it, join } = bench({ modelPolicies: [{ model: 'm', policy: TURNS }] });
    join('w', ['m', 'n']);
    assert.equal(it.policies.switchTo(LEAST, 'm'), true);
    assert.deepEqual([it.name('m'), it.name('n')], ['least_work', 'random']);
    assert.equal(it.policies.switchTo(LEAST, 'm'), false);
    assert.deepEqual(it.policies.own(), [{ model: 'm', policy: 'least_work', source: 'admin' }]);
    assert.equal(it.policies.switchBack('m'), true);
    assert.equal(it.policies.switchBack('m'), false);
    assert.equal(it.name('m'), 'round_robin');
  });

  it('follows labels that change', () => {
    const { bench: it, join } = bench();
    const worker = join('w', ['m'], hint('round_robin'));
    assert.equal(it.name('m'), 'round_robin');
    it.registry.setTraits(worker, DEFAULT_TRAITS);
    assert.equal(it.policies.policyFor('m'), it.policies.default);
    it.registry.setTraits(worker, { ...DEFAULT_TRAITS, labels: { policy: 'least_work' } });
    assert.equal(it.name('m'), 'least_work');
    // The first label there is.
    const other = bench();
    const plain = other.join('w', ['m']);
    other.bench.registry.setTraits(plain, { ...DEFAULT_TRAITS, labels: { policy: 'least_work' } });
    assert.equal(other.bench.name('m'), 'least_work');
  });
});

describe('the memory of a policy', () => {
  it('stays over changes of the fleet, and goes with its model', () => {
    const { bench: it, join } = bench({ modelPolicies: [{ model: 'm', policy: TURNS }] });
    const worker = join('w1', ['m']);
    const before = it.policies.policyFor('m');
    const other = join('w2', ['m']);
    assert.equal(it.policies.policyFor('m'), before);
    it.registry.remove(worker);
    assert.equal(it.policies.policyFor('m'), before);
    it.registry.remove(other);
    join('w3', ['m']);
    assert.notEqual(it.policies.policyFor('m'), before);
  });

  it('is told of workers that leave, whatever model they served', () => {
    const { bench: it, join } = bench({ modelPolicies: [{ model: 'm', policy: TURNS }] });
    const worker = join('w1', ['m']);
    join('w2', ['m']);
    const left: number[] = [];
    it.policies.policyFor('m').observe = (event) => left.push(event.slot);
    it.policies.default.observe = (event) => left.push(-event.slot - 1);
    it.registry.remove(worker);
    assert.deepEqual(left.sort(), [-worker.slot - 1, worker.slot]);
  });

  it('is adopted on reload where model, policy and parameters stay, and begins anew where they change', () => {
    const { bench: it, join } = bench({
      modelPolicies: [
        { model: 'a', policy: TURNS },
        { model: 'b', policy: TURNS },
      ],
    });
    join('w', ['a', 'b', 'c'], hint('round_robin'));
    const [a, b, c] = ['a', 'b', 'c'].map((model) => it.policies.policyFor(model));
    const { default: first } = it.policies;
    it.policies.switchTo(RANDOM, 'a');
    const changes = it.policies.reconfigure({
      policy: RANDOM,
      modelPolicies: [
        { model: 'a', policy: TURNS },
        { model: 'b', policy: LEAST },
      ],
      pd: UNSPLIT,
    });
    // Switched while it ran: its former memory is gone, and its policy the configured one again.
    assert.deepEqual([it.name('a'), it.policies.policyFor('a') === a], ['round_robin', false]);
    assert.deepEqual([it.name('b'), it.policies.policyFor('b') === b], ['least_work', false]);
    assert.equal(it.policies.policyFor('c'), c);
    assert.equal(it.policies.default, first);
    assert.deepEqual(changes, [
      { model: 'a', from: 'random', to: 'round_robin' },
      { model: 'b', from: 'round_robin', to: 'least_work' },
    ]);
    assert.deepEqual(it.policies.reconfigure({ policy: LEAST, modelPolicies: [], pd: UNSPLIT }), [
      { model: undefined, from: 'random', to: 'least_work' },
      { model: 'b', from: 'least_work', to: 'round_robin' },
    ]);
  });

  it('is bounded however many models there are', () => {
    const { bench: it, join } = bench({ modelPolicies: [{ model: '*', policy: TURNS }] });
    const models = Array.from({ length: 1500 }, (_, at) => `adapter-${at}`);
    join('w', models);
    const instances = new Set(models.map((model) => it.policies.policyFor(model)));
    assert.equal(instances.size, 1001);
    // Names that clients make up get no memory of their own either.
    const made = new Set(Array.from({ length: 5000 }, (_, at) => it.policies.policyFor(`made-up-${at}`)));
    assert.equal(made.size, 1);
    assert.ok([...made].every((policy) => policy.name === 'round_robin'));
  });
});

describe('the predicted index', () => {
  it('is opened for the first policy that looks at it, shared, and dropped with the last', () => {
    const { bench: it, join } = bench();
    join('w', ['a', 'b']);
    assert.equal(it.policies.index, undefined);
    it.policies.switchTo(LEAST, 'a');
    const { index } = it.policies;
    assert.ok(index);
    it.policies.switchTo({ ...LEAST, type: 'least_work', theta: 1 }, 'b');
    it.policies.switchTo(LEAST);
    it.policies.switchTo(RANDOM, 'a');
    it.policies.switchTo(RANDOM, 'b');
    assert.equal(it.policies.index, index);
    it.policies.switchTo(TURNS);
    assert.equal(it.policies.index, undefined);
    assert.equal(it.indexes, 1);
  });

  it('goes when the last model whose policy looks at it has gone', () => {
    const { bench: it, join } = bench();
    const worker = join('w', ['m'], hint('cache_aware'));
    it.policies.policyFor('m');
    assert.ok(it.policies.index);
    it.registry.remove(worker);
    assert.equal(it.policies.index, undefined);
  });
});

function bench(settings?: Partial<PoliciesSettings>): {
  bench: Bench;
  policies: Policies;
  join: Bench['join'];
} {
  const made = new Bench(settings);
  return { bench: made, policies: made.policies, join: (...args) => made.join(...args) };
}
