import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { VirtualClock } from '../base/virtual-clock.ts';
import { DEFAULT_TRAITS } from '../config/settings/settings.ts';
import type { BreakerSettings, HealthSettings, WorkerSpec } from '../config/settings/settings.ts';
import { LoadLedger } from './ledger.ts';
import { WorkerRegistry } from './registry.ts';
import type { Worker } from './worker.ts';

const breaker: BreakerSettings = {
  enabled: true,
  failureThreshold: 1,
  successThreshold: 1,
  openMs: 1000,
  windowMs: 1000,
  halfOpenTrials: 1,
};
const health: HealthSettings = {
  path: '/health',
  intervalMs: 60_000,
  timeoutMs: 5000,
  failureThreshold: 3,
  successThreshold: 2,
};

function spec(id: string): WorkerSpec {
  return { baseUrl: id, rank: undefined, id, apiKey: undefined, traits: DEFAULT_TRAITS };
}

function setUp(...ids: string[]) {
  const clock = new VirtualClock();
  const ledger = new LoadLedger(clock);
  const registry = new WorkerRegistry({ clock, ledger, breaker, health, slowStartMs: 30_000 });
  const events: string[] = [];
  registry.on((event) => {
    events.push(
      event.type === 'breaker'
        ? `${event.worker.id} ${event.from} ${event.to}`
        : `${event.worker.id} ${event.type}`,
    );
  });
  const workers = ids.map((id) => registry.add(spec(id)));
  const list = (worker: Worker | undefined, ...models: string[]): void => {
    assert.ok(worker);
    registry.setModels(
      worker,
      new Set(models),
      models.map((id) => ({ id, from: worker.id })),
    );
  };
  const idsFor = (model: string): string[] => registry.membersFor(model).members.map(({ id }) => id);
  return { clock, ledger, registry, events, workers, list, idsFor };
}

describe('models before they are told', () => {
  const claiming = (modelId: string) => ({ ...spec('w'), traits: { ...DEFAULT_TRAITS, modelId } });

  it('are those that the worker was registered for, with a card, until it tells its own', () => {
    const { registry, list, idsFor } = setUp();
    const worker = registry.add(claiming('m'));
    assert.deepEqual([idsFor('m'), registry.knows('m'), [...registry.models]], [['w'], true, ['m']]);
    assert.deepEqual(registry.modelCards(), [
      { id: 'm', object: 'model', owned_by: 'vllm', root: 'm', parent: null },
    ]);
    list(worker, 'other');
    assert.deepEqual([registry.knows('m'), registry.membersFor('m').listed], [false, false]);
    assert.deepEqual([...registry.models], ['other']);
  });

  it('leave with the worker', () => {
    const { registry } = setUp();
    registry.remove(registry.add(claiming('m')));
    assert.deepEqual([registry.knows('m'), registry.models.size, registry.modelCards()], [false, 0, []]);
  });

  it('are known while a worker for them is on its way', () => {
    const { registry, idsFor } = setUp('a');
    const [one, two] = [registry.announce('m'), registry.announce('m')];
    assert.deepEqual([registry.knows('m'), registry.membersFor('m').listed], [true, false]);
    assert.deepEqual(idsFor('m'), ['a']);
    one();
    one();
    assert.equal(registry.knows('m'), true);
    two();
    assert.equal(registry.knows('m'), false);
  });

  it('stay known while all their workers are unhealthy', () => {
    const { registry, workers, list } = setUp('a');
    const [worker] = workers;
    list(worker, 'm');
    assert.ok(worker);
    registry.reportCheck(worker, true);
    for (let i = 0; i < 3; i += 1) registry.reportCheck(worker, false);
    assert.deepEqual([worker.health.healthy, registry.knows('m')], [false, true]);
  });
});

describe('membership', () => {
  it('replaces the list of workers, never changes it', () => {
    const { registry, workers, events } = setUp('a', 'b');
    const before = registry.workers;
    const [a] = workers;
    assert.ok(a);
    registry.remove(a);
    registry.remove(a);
    assert.deepEqual(
      before.map(({ id }) => id),
      ['a', 'b'],
    );
    assert.deepEqual(
      registry.workers.map(({ id }) => id),
      ['b'],
    );
    assert.equal(registry.get('a'), undefined);
    assert.equal(registry.get('b'), workers[1]);
    assert.deepEqual(events, ['a joined', 'b joined', 'a left']);
  });

  it('refuses a taken id', () => {
    const { registry } = setUp('a');
    assert.throws(() => registry.add(spec('a')), /a is registered already/);
  });

  it('gives the slot to another only when its leases are back', () => {
    const { registry, ledger, workers } = setUp('a');
    const [a] = workers;
    assert.ok(a);
    const lease = ledger.acquire(a.slot, { prefillTokens: 1, kvTokens: 1, stream: true });
    registry.remove(a);
    const b = registry.add(spec('b'));
    assert.notEqual(b.slot, a.slot);
    lease.release();
    const c = registry.add(spec('a'));
    assert.equal(c.slot, a.slot);
    assert.notEqual(c.generation, a.generation);
    // What is still said of the former worker of that id changes nothing.
    registry.reportCheck(a, true);
    registry.setModels(a, new Set(['m']), []);
    registry.remove(a);
    assert.equal(registry.get('a'), c);
    assert.equal(registry.membersFor('m').listed, false);
  });
});

describe('a worker that was never healthy', () => {
  it('is told of once for each reason that its checks fail for', () => {
    const { registry, workers, events } = setUp('a');
    const [a] = workers;
    assert.ok(a);
    for (const reason of ['refused', 'refused', 'status 503', 'status 503'])
      registry.reportCheck(a, false, reason);
    registry.reportCheck(a, true);
    registry.reportCheck(a, false, 'refused');
    assert.deepEqual(events, ['a joined', 'a waiting', 'a waiting', 'a healthy']);
  });
});

describe('pools', () => {
  it('hold the workers that list the model, else all', () => {
    const { idsFor, registry, workers, list } = setUp('a', 'b', 'c');
    list(workers[0], 'x', 'y');
    list(workers[2], 'y');
    assert.deepEqual(idsFor('x'), ['a']);
    assert.deepEqual(idsFor('y'), ['a', 'c']);
    assert.deepEqual(idsFor('z'), ['a', 'b', 'c']);
    assert.deepEqual(idsFor(''), ['a', 'b', 'c']);
    assert.equal(registry.membersFor('y').listed, true);
    assert.equal(registry.membersFor('y').key, 'y');
    assert.equal(registry.membersFor('z').listed, false);
    assert.equal(registry.membersFor('z'), registry.membersFor(''));
    assert.equal(registry.membersFor('').key, '');
  });

  it('keep their identity until their own members change', () => {
    const { registry, workers, list } = setUp('a', 'b');
    list(workers[0], 'x');
    list(workers[1], 'y');
    const x = registry.membersFor('x');
    const y = registry.membersFor('y');
    const all = registry.membersFor('');
    list(workers[1], 'y', 'x');
    assert.notEqual(registry.membersFor('x').generation, x.generation);
    assert.equal(registry.membersFor('y'), y);
    assert.equal(registry.membersFor(''), all);
    list(workers[1], 'y', 'x');
    const again = registry.membersFor('x');
    list(workers[1], 'x', 'y');
    assert.equal(registry.membersFor('x'), again);
  });

  it('fall back to all workers when the last one listing the model leaves', () => {
    const { idsFor, registry, workers, list } = setUp('a', 'b');
    list(workers[0], 'x');
    assert.deepEqual(idsFor('x'), ['a']);
    const [a] = workers;
    assert.ok(a);
    registry.remove(a);
    assert.deepEqual(idsFor('x'), ['b']);
    assert.equal(registry.membersFor('x').listed, false);
  });

  it('are bounded, and never confuse generations', () => {
    const { registry, workers, list } = setUp('a');
    const models = Array.from({ length: 3000 }, (_, index) => `m${String(index)}`);
    list(workers[0], ...models);
    const generations = new Set<number>();
    const hot = registry.membersFor('m0');
    for (const model of models) {
      generations.add(registry.membersFor(model).generation);
      // In use all the time, so never evicted.
      assert.equal(registry.membersFor('m0'), hot);
    }
    assert.equal(generations.size, 3000);
    const first = registry.membersFor('m1');
    assert.equal(generations.has(first.generation), false);
  });
});

describe('model cards', () => {
  it('are the union by id, the first worker winning', () => {
    const { registry, workers, list } = setUp('a', 'b');
    list(workers[1], 'y', 'x');
    list(workers[0], 'x');
    assert.deepEqual(registry.modelCards(), [
      { id: 'x', from: 'a' },
      { id: 'y', from: 'b' },
    ]);
    const [a] = workers;
    assert.ok(a);
    registry.setModels(a, new Set(['x']), [{ id: 'x', from: 'a', root: 'new' }, null, 'junk', { id: 7 }]);
    assert.deepEqual(registry.modelCards()[0], { id: 'x', from: 'a', root: 'new' });
    registry.remove(a);
    assert.deepEqual(registry.modelCards(), [
      { id: 'y', from: 'b' },
      { id: 'x', from: 'b' },
    ]);
  });
});

describe('health', () => {
  it('admits a new worker at one success and a recovered one after several', () => {
    const { clock, registry, workers, events } = setUp('a');
    const [a] = workers;
    assert.ok(a);
    events.length = 0;
    assert.equal(a.health.healthy, false);
    assert.equal(a.rampStartedAt, undefined);
    clock.advance(5);
    registry.reportCheck(a, false, 'refused');
    assert.equal(a.health.reason, 'refused');
    registry.reportCheck(a, true);
    assert.equal(a.health.healthy, true);
    assert.equal(a.rampStartedAt, 5);
    registry.reportCheck(a, false);
    registry.reportCheck(a, false);
    registry.reportCheck(a, true);
    registry.reportCheck(a, false);
    registry.reportCheck(a, false);
    assert.equal(a.health.healthy, true);
    registry.reportCheck(a, false);
    assert.equal(a.health.healthy, false);
    clock.advance(5);
    registry.reportCheck(a, true);
    registry.reportCheck(a, false);
    registry.reportCheck(a, true);
    assert.equal(a.health.healthy, false);
    registry.reportCheck(a, true);
    assert.equal(a.health.healthy, true);
    assert.equal(a.rampStartedAt, 10);
    assert.equal(a.health.changedAt, 10);
    assert.deepEqual(events, ['a waiting', 'a healthy', 'a unhealthy', 'a healthy']);
  });
});

describe('events', () => {
  it('tell of breakers, models and unreachable workers', () => {
    const { clock, registry, workers, list, events } = setUp('a');
    const [a] = workers;
    assert.ok(a);
    events.length = 0;
    a.breaker.permit(clock.now()).failure();
    list(a, 'x');
    list(a, 'x');
    registry.reportUnreachable(a);
    registry.remove(a);
    registry.reportUnreachable(a);
    assert.deepEqual(events, ['a closed open', 'a models', 'a unreachable', 'a left']);
  });

  it('tell of another cache, and of no other one that is the same', () => {
    const { registry, workers, events } = setUp('a');
    const [a] = workers;
    assert.ok(a);
    events.length = 0;
    const config = { blockSize: 16, blocks: 100, prefixCaching: true };
    registry.setCacheConfig(a, config);
    registry.setCacheConfig(a, { ...config });
    const source = { rank: 0, endpoint: 'tcp://*:5557', replayEndpoint: undefined, topic: '' };
    registry.setEventSources(a, [source]);
    registry.setEventSources(a, [{ ...source }]);
    assert.deepEqual(events, ['a facts', 'a facts']);
    registry.setCacheConfig(a, { ...config, blocks: 50 });
    registry.setEventSources(a, []);
    registry.setEventSources(a, undefined);
    assert.deepEqual([a.cacheConfig?.blocks, a.eventSources, events.length], [50, undefined, 5]);
    registry.remove(a);
    registry.setCacheConfig(a, config);
    assert.equal(a.cacheConfig?.blocks, 50);
  });

  it('end with the subscription', () => {
    const { registry } = setUp();
    let count = 0;
    const off = registry.on(() => {
      count += 1;
    });
    registry.add(spec('a'));
    off();
    registry.add(spec('b'));
    assert.equal(count, 1);
  });
});

describe('another configuration', () => {
  it('changes thresholds and leaves health, counts and breakers as they are', () => {
    const { registry, workers } = setUp('a', 'b');
    const [a, b] = workers;
    assert.ok(a && b);
    for (const worker of [a, b]) registry.reportCheck(worker, true);
    registry.reportCheck(a, false);
    registry.reconfigure({ breaker, health: { ...health, failureThreshold: 2 }, slowStartMs: 7 });
    assert.deepEqual([a.health.healthy, a.health.failures, registry.slowStartMs], [true, 1, 7]);
    registry.reportCheck(a, false);
    assert.deepEqual([a.health.healthy, b.health.healthy], [false, true]);
    // Workers that join later have the new ones too.
    const late = registry.add(spec('late'));
    registry.reconfigure({
      breaker: { ...breaker, enabled: true, failureThreshold: 1 },
      health,
      slowStartMs: 7,
    });
    for (const worker of [late, b]) {
      worker.breaker.permit(0).failure();
      assert.equal(worker.breaker.state(0), 'open');
    }
  });

  it('says something else about a worker, which stays in its place', () => {
    const { registry, workers, events, list } = setUp('a');
    const [a] = workers;
    assert.ok(a);
    registry.reportCheck(a, true);
    list(a, 'm');
    const { slot, generation, breaker: circuit } = a;
    registry.respec(a, { ...spec('a'), apiKey: 'new', traits: { ...DEFAULT_TRAITS, priority: 3 } });
    assert.deepEqual([a.spec.apiKey, a.traits.priority], ['new', 3]);
    assert.deepEqual([a.slot, a.generation, a.breaker, a.health.healthy], [slot, generation, circuit, true]);
    assert.deepEqual([...a.models], ['m']);
    assert.equal(events.at(-1), 'a traits');
    assert.throws(() => {
      registry.respec(a, spec('b'));
    });
  });

  it('names another model for an engine that lists none', () => {
    const { registry, idsFor } = setUp();
    const named = (modelId: string): WorkerSpec => ({ ...spec('a'), traits: { ...DEFAULT_TRAITS, modelId } });
    const a = registry.add(named('old'));
    registry.respec(a, named('new'));
    assert.deepEqual([idsFor('new'), registry.knows('old')], [['a'], false]);
  });
});
