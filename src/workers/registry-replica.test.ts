import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { BREAKER, HEALTH } from '../../test/support/registry-settings.ts';
import { RouterThreads, type ThreadEnd } from '../../test/support/router-threads.ts';
import { VirtualClock } from '../base/virtual-clock.ts';
import { DEFAULT_TRAITS, type WorkerSpec } from '../config/settings/settings.ts';
import { EXCLUSION_NAMES } from '../routing/policy.ts';
import { LoadLedger } from './ledger.ts';
import { openRegistry } from './open-registry.ts';
import { viewPool } from './pool-view.ts';
import type { RegistryReplica } from './registry-replica.ts';
import type { WorkerRegistry } from './registry.ts';
import type { RegistryEvent, Roster } from './roster.ts';

const MODELS = ['a', 'b', 'c'];
const SETTINGS = { breaker: { ...BREAKER, failureThreshold: 2 }, health: HEALTH, slowStartMs: 30_000 };

function specOf(place: number, modelId?: string): WorkerSpec {
  const id = `http://w${place}`;
  const traits = { ...DEFAULT_TRAITS, modelId };
  return { baseUrl: id, id, rank: undefined, apiKey: undefined, traits };
}

/** A router of three request threads, which begin when a test says so. */
class Bench {
  readonly clock = new VirtualClock();
  readonly threads = new RouterThreads(3);
  readonly registry: WorkerRegistry;
  readonly replicas: RegistryReplica[] = [];
  readonly ends: ThreadEnd[] = [];
  readonly takenBack: (() => void)[] = [];

  constructor() {
    this.clock.advance(1);
    this.registry = openRegistry(this.threads.control, {
      ...{ clock: this.clock, ledger: new LoadLedger(this.clock) },
      ...SETTINGS,
    });
  }

  begin(): RegistryReplica {
    const end = this.threads.begin(this.ends.length + 1);
    const replica = openRegistry(end, {
      ...{ clock: this.clock, ledger: new LoadLedger(this.clock) },
      ...SETTINGS,
    });
    this.ends.push(end);
    this.replicas.push(replica);
    return replica;
  }

  async started(): Promise<RegistryReplica> {
    const replica = this.begin();
    const start = replica.start();
    await this.threads.settle();
    await start;
    return replica;
  }
}

/** All that a request may know of workers. */
function all(roster: Roster, now: number): unknown {
  return {
    workers: roster.workers.map((worker) => {
      const { slot, generation, id, spec, traits, models, health, engine, progress, draining } = worker;
      const { healthy, admitted, changedAt, reason } = health;
      return {
        ...{ slot, generation, id, spec, traits, models, engine, draining },
        ...{ adapters: worker.adapters, cache: worker.cacheConfig, sources: worker.eventSources },
        ...{ healthy, admitted, changedAt, reason },
        progress: progress.state,
        rampStartedAt: worker.rampStartedAt,
        circuit: worker.breaker.state(now),
        byId: roster.get(id) === worker,
        bySlot: roster.at({ slot, generation }) === worker,
      };
    }),
    models: roster.models,
    alike: roster.servesAlike,
    cards: roster.modelCards(),
    known: MODELS.filter((model) => roster.knows(model)),
    pools: ['', ...MODELS].map((model) => {
      const pool = roster.membersFor(model);
      const options = { tried: new Set<number>(), now, slowStartMs: roster.slowStartMs };
      const { mask, eligible } = viewPool(pool, { ...options, version: roster.version });
      return [
        pool.listed,
        pool.members.map(({ id }) => id),
        Array.from(mask, (one) => EXCLUSION_NAMES[one]),
        eligible,
      ];
    }),
  };
}

function heardBy(roster: Roster): string[] {
  const heard: string[] = [];
  roster.on((event: RegistryEvent) => {
    const { type, worker } = event;
    if (type === 'unreachable' || type === 'models_doubted' || type === 'transfer_failed') return;
    const { id, health, models, engine, progress, draining } = worker;
    heard.push(
      JSON.stringify([
        ...[type, id, health.healthy, health.reason, [...models], engine, progress.state, draining],
        ...[
          worker.traits.priority,
          worker.cacheConfig?.blocks,
          event.type === 'breaker' ? [event.from, event.to] : 0,
        ],
      ]),
    );
  });
  return heard;
}

type Act = (bench: Bench, worker: WorkerRegistry['workers'][number] | undefined, pick: number) => void;

const ACTS: Readonly<Record<string, Act>> = {
  add: ({ registry }, _, pick) => {
    const spec = specOf(pick % 5, pick % 2 === 0 ? MODELS[pick % 3] : undefined);
    if (!registry.get(spec.id)) registry.add(spec);
  },
  remove: ({ registry }, worker) => {
    if (worker) registry.remove(worker);
  },
  models: ({ registry }, worker, pick) => {
    const models = MODELS.filter((_, place) => ((pick >> place) & 1) === 1);
    const cards = models.map((id) => ({ id, created: pick, parent: pick % 3 === 0 ? 'a' : null }));
    if (worker) registry.setModels(worker, new Set(models), cards);
  },
  traits: ({ registry }, worker, pick) => {
    if (worker) registry.setTraits(worker, { ...DEFAULT_TRAITS, priority: pick });
  },
  respec: ({ registry }, worker, pick) => {
    if (!worker) return;
    const traits = { ...DEFAULT_TRAITS, modelId: MODELS[pick % 3], cost: pick };
    registry.respec(worker, { ...worker.spec, apiKey: String(pick), traits });
  },
  announce: ({ registry, takenBack }, _, pick) => {
    takenBack.push(registry.announce(MODELS[pick % 3] ?? ''));
  },
  takeBack: ({ takenBack }) => {
    takenBack.shift()?.();
  },
  well: ({ registry }, worker) => {
    if (worker) registry.reportCheck(worker, true);
  },
  unwell: ({ registry }, worker, pick) => {
    if (worker) registry.reportCheck(worker, false, `reason ${pick % 2}`);
  },
  engine: ({ registry }, worker, pick) => {
    if (worker)
      registry.setEngine(worker, (['running', 'sleeping', 'paused'] as const)[pick % 3] ?? 'running');
  },
  cache: ({ registry }, worker, pick) => {
    if (worker)
      registry.setCacheConfig(worker, {
        blockSize: 16 << (pick % 2),
        blocks: pick,
        prefixCaching: undefined,
      });
  },
  sources: ({ registry }, worker, pick) => {
    const source = { rank: 0, endpoint: `tcp://*:${pick % 2}`, replayEndpoint: undefined, topic: '' };
    if (worker) registry.setEventSources(worker, [undefined, [], [source]][pick % 3]);
  },
  progress: ({ registry }, worker, pick) => {
    if (worker)
      registry.setProgress(worker, (['moving', 'suspect', 'stalled'] as const)[pick % 3] ?? 'moving');
  },
  drain: ({ registry }, worker, pick) => {
    if (!worker) return;
    worker.draining = pick % 2 === 0;
    if (!worker.draining) registry.reportUndrained(worker);
  },
  fail: ({ clock }, worker) => {
    worker?.breaker.permit(clock.now()).failure();
  },
  succeed: ({ clock }, worker) => {
    worker?.breaker.permit(clock.now()).success();
  },
  failInThread: ({ clock, replicas }, worker, pick) => {
    const replica = replicas[pick % Math.max(1, replicas.length)];
    if (worker) replica?.at(worker)?.breaker.permit(clock.now()).failure();
  },
  news: ({ replicas }, worker, pick) => {
    const replica = replicas[pick % Math.max(1, replicas.length)];
    const known = worker && replica?.at(worker);
    if (known) replica?.reportUnreachable(known);
  },
  advance: ({ clock }, _, pick) => {
    clock.advance(pick * 500);
  },
  hear: ({ ends }, _, pick) => {
    ends[pick % Math.max(1, ends.length)]?.hear(1 + (pick % 4));
  },
  beHeard: ({ ends }, _, pick) => {
    ends[pick % Math.max(1, ends.length)]?.beHeard(1 + (pick % 4));
  },
};

const acts = fc.array(fc.tuple(fc.constantFrom(...Object.keys(ACTS)), fc.nat(4), fc.nat(30)), {
  maxLength: 80,
  size: 'max',
});

describe('what request threads know of the registry', () => {
  it('is what control knows, whatever happens and whenever they begin', async () => {
    let events = 0;
    await fc.assert(
      fc.asyncProperty(acts, acts, async (before, after) => {
        const bench = new Bench();
        const { registry, clock, threads } = bench;
        const inControl = heardBy(registry);
        const inThread = heardBy(await bench.started());
        const run = (steps: typeof before): void => {
          for (const [name, which, pick] of steps) ACTS[name]?.(bench, registry.workers[which], pick);
        };
        run(before);
        // One begins here: it asks, and goes on hearing of changes while its question is on its way.
        const starts = bench.begin().start();
        run(after);
        await threads.settle();
        await starts;
        // And one when all is said.
        await bench.started();
        const known = all(registry, clock.now());
        await threads.settle();
        for (const replica of bench.replicas) assert.deepEqual(all(replica, clock.now()), known);
        assert.deepEqual(inThread, inControl);
        events += inControl.length;
      }),
      { numRuns: 300, seed: 11 },
    );
    assert.ok(events > 3000, String(events));
  });

  it('goes for a worker that has the slot of another', async () => {
    const bench = new Bench();
    const { registry, threads } = bench;
    const replica = await bench.started();
    const first = registry.add(specOf(1));
    await threads.settle();
    const known = replica.at(first);
    assert.ok(known);
    registry.remove(first);
    const second = registry.add(specOf(2));
    assert.equal(second.slot, first.slot);
    const doubted: string[] = [];
    registry.on(({ type, worker }) => void doubted.push(`${type} ${worker.id}`));
    // It has not heard of the change.
    replica.reportModelUnknown(known);
    await threads.settle();
    assert.deepEqual([replica.at(first), replica.at(second)?.id, doubted], [undefined, 'http://w2', []]);
  });

  it('changes at once with what control did at once: whoever waited for any of it finds all of it', async () => {
    const bench = new Bench();
    const { registry, threads } = bench;
    const replica = await bench.started();
    const [first, second] = [1, 2].map((place) => registry.add(specOf(place)));
    assert.ok(first && second);
    await threads.settle();
    const healthy = (): number => replica.workers.filter(({ health }) => health.healthy).length;
    const found: number[] = [];
    replica.on(({ type }) => {
      // As whoever waits for workers does.
      if (type === 'healthy') queueMicrotask(() => found.push(healthy()));
    });
    for (const worker of [first, second])
      for (let times = 0; times < 5; times += 1) registry.reportCheck(worker, true);
    // A turn of the thread's for each message.
    do await new Promise(setImmediate);
    while (bench.ends[0]?.hear(1));
    assert.deepEqual(found, [2, 2]);
  });

  it('comes to control as far as requests find it out', async () => {
    const bench = new Bench();
    const { registry, threads } = bench;
    const replica = await bench.started();
    const worker = registry.add(specOf(1));
    await threads.settle();
    const heard: string[] = [];
    registry.on(({ type, worker: about }) => void heard.push(`${type} ${about.id}`));
    const known = replica.get(worker.id);
    assert.ok(known);
    replica.reportUnreachable(known);
    replica.reportModelUnknown(known);
    replica.reportTransferFailed(known);
    await threads.settle();
    assert.deepEqual(heard, [
      'unreachable http://w1',
      'models_doubted http://w1',
      'transfer_failed http://w1',
    ]);
  });

  it('is told in snapshots and changes that fit each other, or not at all', async () => {
    const bench = new Bench();
    const { registry, threads } = bench;
    const replica = await bench.started();
    assert.throws(() => {
      replica.adopt({ number: 0, workers: [], announced: [] });
    }, /already/);
    registry.add(specOf(1));
    await threads.settle();
    assert.equal(replica.workers.length, 1);
  });
});
