import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Policy, PolicyDeps } from '../../routing/policy.ts';
import { blocksFromHashIds } from '../../routing/hash-ids.ts';
import { MODEL_DEFAULTS, type ModelSettings } from '../../sim/engine/model-settings.ts';
import { parseContenders } from '../study/contenders.ts';
import type { Trace } from '../traces/trace.ts';
import type { CacheKnowledge, FleetPlan, WorkerPlan } from './fleet-plan.ts';
import type { FleetView } from './fleet-view.ts';
import { oracleHitRates } from './oracle.ts';
import { Simulation, type RunResult } from './simulation.ts';

const BLOCK = 16;
const SMALL: ModelSettings = { ...MODEL_DEFAULTS, blocks: 200, maxModelLen: 3200, maxRunning: 6 };

interface Asked {
  readonly gapMs: number;
  readonly prompt: number;
  readonly output: number;
  /** Requests with one prefix share the first half of their prompts. */
  readonly prefix: number;
}

function traceOf(asked: readonly Asked[]): Trace {
  let at = 0;
  const requests = asked.map(({ gapMs, prompt, output, prefix }, place) => {
    if (place > 0) at += gapMs;
    const count = Math.floor(prompt / BLOCK);
    const ids = Array.from({ length: count }, (_, block) =>
      block < count / 2 ? prefix * 1000 + block : 1_000_000 * (place + 1) + block,
    );
    return {
      ...{ at, promptTokens: prompt, outputTokens: output, session: String(prefix) },
      blocks: blocksFromHashIds(ids, BLOCK, prompt),
    };
  });
  return { name: 'made up', requests, blockSize: BLOCK };
}

function contender(name: string): FleetPlan['policy'] {
  const parsed = parseContenders([name]);
  const [first] = typeof parsed === 'string' ? [] : parsed;
  assert.ok(first, JSON.stringify(parsed));
  return first.policy;
}

function planOf(workers: readonly Partial<WorkerPlan>[], rest: Partial<FleetPlan> = {}): FleetPlan {
  return {
    workers: workers.map((worker) => ({ settings: SMALL, ...worker })),
    policy: contender('round_robin'),
    cache: { source: 'exact' },
    ...{ routers: 1, pollIntervalMs: 0, pollDelayMs: 0, slowStartMs: 0, speed: 1, seed: 1 },
    ...rest,
  };
}

/** Bounded, so that a run without end fails and does not hang. */
function run(list: readonly Asked[], plan: FleetPlan): RunResult {
  const steps = new Simulation(traceOf(list), plan).steps(1000);
  for (let slice = 0; slice < 1000; slice += 1) {
    const { done, value } = steps.next();
    if (done) return value;
  }
  return assert.fail('it never ends');
}

const sum = (values: Iterable<number>): number => [...values].reduce((total, value) => total + value, 0);
const asked = (rest: Partial<Asked> = {}): Asked => ({
  gapMs: 0,
  prompt: 800,
  output: 20,
  prefix: 0,
  ...rest,
});

const EVERY = ((): readonly string[] => {
  const parsed = parseContenders(['all']);
  assert.ok(typeof parsed !== 'string');
  return parsed.map(({ name }) => name);
})();

const someAsked = fc.array(
  fc.record({
    gapMs: fc.nat(300),
    prompt: fc.integer({ min: 1, max: 3400 }),
    output: fc.nat(60),
    prefix: fc.nat(3),
  }),
  { minLength: 1, maxLength: 40 },
);
const someCache = fc.oneof<fc.Arbitrary<CacheKnowledge>[]>(
  fc.constant({ source: 'predicted' as const, maxBlocksPerWorker: 200 }),
  fc.constant({ source: 'exact' as const }),
  fc.record({
    source: fc.constant('events' as const),
    delayMs: fc.nat(500),
    loss: fc.constantFrom(0, 0.3, 1),
    replays: fc.boolean(),
    joinsAtMs: fc.constantFrom(0, 2000),
    silentWorkers: fc.nat(2),
    maxBlocksPerWorker: fc.constant(200),
  }),
);
const somePlan = fc
  .record({
    count: fc.integer({ min: 1, max: 4 }),
    slow: fc.boolean(),
    name: fc.constantFrom(...EVERY),
    cache: someCache,
    routers: fc.integer({ min: 1, max: 3 }),
    pollIntervalMs: fc.constantFrom(0, 50, 1000),
    pollDelayMs: fc.constantFrom(0, 200),
    speed: fc.constantFrom(0.5, 1, 8),
    seed: fc.nat(100),
  })
  .map(({ count, slow, name, ...rest }) =>
    planOf(
      Array.from({ length: count }, (_, index) => ({
        settings: slow && index > 0 ? { ...SMALL, prefillTokensPerSecond: 2000 } : SMALL,
      })),
      { ...rest, policy: contender(name) },
    ),
  );

function fits({ prompt, output }: Asked): boolean {
  return prompt + output <= SMALL.maxModelLen;
}

describe('a simulated fleet', () => {
  it('answers every request that fits, computes what was not cached and generates what was asked', () => {
    fc.assert(
      fc.property(someAsked, somePlan, (list, plan) => {
        const { outcomes, computedTokens, generatedTokens, openLeases, preemptions } = run(list, plan);
        for (const [place, one] of list.entries()) {
          assert.equal(!Number.isNaN(outcomes.e2eMs[place]), fits(one), `request ${place}`);
          assert.equal(outcomes.worker[place] === -1, !fits(one));
          if (!fits(one)) continue;
          const cached = outcomes.cachedTokens[place]!;
          assert.ok(cached < one.prompt && cached % BLOCK === 0, `${cached} of ${one.prompt} cached`);
          const [ttft, e2e] = [outcomes.ttftMs[place]!, outcomes.e2eMs[place]!];
          if (one.output > 0) assert.ok(ttft <= e2e);
          // Nobody computes faster than the engine does.
          assert.ok(e2e + 1e-6 >= ((one.prompt - cached) / SMALL.prefillTokensPerSecond) * 1000);
        }
        const answered = list.filter(fits);
        const cached = sum(outcomes.cachedTokens);
        assert.equal(sum(computedTokens), sum(answered.map(({ prompt }) => prompt)) - cached);
        assert.equal(sum(generatedTokens), sum(answered.map(({ output }) => output)));
        assert.equal(openLeases, 0);
        assert.ok(preemptions >= 0);
      }),
      { numRuns: 150 },
    );
  });

  it('gives the same result for the same plan, trace and seed, bit by bit', () => {
    fc.assert(
      fc.property(someAsked, somePlan, (list, plan) => {
        assert.deepEqual(run(list, plan), run(list, plan));
      }),
      { numRuns: 40 },
    );
  });

  it('never has more running, or more blocks in use, than its engines hold', () => {
    fc.assert(
      fc.property(someAsked, somePlan, (list, plan) => {
        const watched = watch(plan.policy, plan.workers.length);
        run(list, { ...plan, policy: watched.policy });
        assert.ok(watched.looks() > 0);
      }),
      { numRuns: 60 },
    );
  });

  it('finds no less by events that are lost for good than without any', () => {
    const list = Array.from({ length: 400 }, (_, place) => asked({ gapMs: 500, prefix: (7 * place) % 12 }));
    for (const name of ['least_work', 'kv_aware']) {
      const hits = (cache: CacheKnowledge): number =>
        sum(run(list, planOf([{}, {}, {}, {}], { policy: contender(name), cache })).outcomes.cachedTokens);
      const predicted = hits({ source: 'predicted', maxBlocksPerWorker: 200 });
      const lossy = hits({
        ...{ source: 'events', delayMs: 5, loss: 0.05, replays: false, joinsAtMs: 0 },
        ...{ silentWorkers: 0, maxBlocksPerWorker: 200 },
      });
      assert.ok(lossy >= 0.95 * predicted, `${name}: ${lossy} tokens found, ${predicted} predicted`);
    }
  });

  it('has no policy above the hit rate that is possible', () => {
    fc.assert(
      fc.property(someAsked, somePlan, (list, plan) => {
        const trace = traceOf(list);
        const { outcomes } = new Simulation(trace, plan).run();
        const rate = sum(outcomes.cachedTokens) / sum(list.map(({ prompt }) => prompt));
        assert.ok(rate <= oracleHitRates(trace, 1_000_000).unlimited + 1e-12);
      }),
      { numRuns: 100 },
    );
  });

  it('loses no request when workers die and join, unless a client has seen a part of it or nobody is left', () => {
    const times = fc.option(fc.integer({ min: 1, max: 3000 }), { nil: undefined });
    const lives = fc.array(fc.record({ diesAtMs: times, joinsAtMs: times }), { maxLength: 4 });
    fc.assert(
      fc.property(someAsked, somePlan, lives, (list, plan, others) => {
        const more = others.map(({ diesAtMs, joinsAtMs }): WorkerPlan => ({
          settings: SMALL,
          ...(diesAtMs === undefined ? {} : { diesAtMs }),
          ...(joinsAtMs === undefined ? {} : { joinsAtMs }),
        }));
        // The first one lives: a request can be lost only by its own tokens, as nobody has five deaths behind it.
        const workers = [{ settings: SMALL }, ...more];
        const { outcomes, openLeases } = run(list, { ...plan, workers });
        assert.equal(openLeases, 0);
        for (const [place, one] of list.entries()) {
          if (!fits(one)) continue;
          const answered = !Number.isNaN(outcomes.e2eMs[place]);
          assert.ok(answered || !Number.isNaN(outcomes.ttftMs[place]), `request ${place} is lost`);
        }
      }),
      { numRuns: 120 },
    );
  });
});

/** The policy, and a look at every engine before each choice. */
function watch(inner: FleetPlan['policy'], workers: number) {
  let looks = 0;
  const policy = (deps: PolicyDeps & FleetView): Policy => {
    const stats = deps.engineStats(1);
    const own = inner(deps);
    const look = (): void => {
      for (let slot = 0; slot < workers; slot += 1) {
        assert.ok(stats.running(slot) <= SMALL.maxRunning, `${stats.running(slot)} running`);
        assert.ok(stats.kvUsage(slot) >= 0 && stats.kvUsage(slot) <= 1);
        assert.ok(stats.waiting(slot) >= 0);
        looks += 1;
      }
    };
    return {
      ...{ name: own.name, needs: own.needs },
      choose: (ask, pool) => {
        look();
        return own.choose(ask, pool);
      },
      observe: (event) => own.observe?.(event),
    };
  };
  return { policy, looks: () => looks };
}

describe('a worker that dies', () => {
  // 800 tokens are 100 ms of prefill.
  const both = [asked({ prefix: 1 }), asked({ prefix: 2 })];

  it('loses its requests to others while they have no token yet', () => {
    const { outcomes } = run(both, planOf([{ diesAtMs: 50 }, {}]));
    assert.deepEqual([...outcomes.attempts].sort(), [1, 2]);
    assert.deepEqual([...outcomes.worker], [1, 1]);
    assert.ok([...outcomes.e2eMs].every((time) => time > 0));
  });

  it('ends those that a client has seen a part of', () => {
    const { outcomes } = run(both, planOf([{ diesAtMs: 110 }, {}]));
    assert.deepEqual([...outcomes.attempts], [1, 1]);
    assert.ok(outcomes.ttftMs[0]! > 0);
    assert.equal(outcomes.e2eMs[0], NaN);
    assert.ok(outcomes.e2eMs[1]! > 0);
  });

  it('counts no request twice that ends in the very instant of its death', () => {
    const alone = planOf([{}, {}]);
    const list = [asked(), asked({ gapMs: 5000, output: 50 })];
    const endsAt = run(list, alone).outcomes.e2eMs[0]!;
    const { outcomes, openLeases } = run(list, planOf([{ diesAtMs: endsAt }, {}]));
    assert.equal(outcomes.e2eMs[0], endsAt);
    assert.ok(outcomes.e2eMs[1]! > 0, 'the one behind it is answered');
    assert.equal(openLeases, 0);
  });

  it('takes everybody with it when it is the last', () => {
    const { outcomes, openLeases } = run([...both, asked({ gapMs: 500 })], planOf([{ diesAtMs: 50 }]));
    assert.deepEqual([...outcomes.worker], [-1, -1, -1]);
    assert.ok([...outcomes.e2eMs].every(Number.isNaN));
    assert.equal(openLeases, 0);
  });

  it('is not sent anything when it was to join later', () => {
    const late = { diesAtMs: 50, joinsAtMs: 100 };
    const { outcomes } = run([asked(), asked({ gapMs: 500 })], planOf([{}, late], { pollIntervalMs: 100 }));
    assert.deepEqual([...outcomes.worker], [0, 0]);
  });
});

describe('a worker that joins', () => {
  it('gets requests from then on', () => {
    const list = Array.from({ length: 20 }, () => asked({ gapMs: 100 }));
    const { outcomes } = run(list, planOf([{}, { joinsAtMs: 1000 }]));
    const first = outcomes.worker.indexOf(1);
    assert.ok(first >= 10, `request ${first} went there`);
    assert.ok([...outcomes.worker].slice(first).filter((worker) => worker === 1).length >= 4);
  });
});

describe('several routers', () => {
  it('know nothing of each other’s requests', () => {
    // Both begin with the first worker: shared books would have sent the second request elsewhere.
    const list = [asked({ prefix: 1 }), asked({ prefix: 2 })];
    const plan = (routers: number): FleetPlan => planOf([{}, {}], { routers, policy: contender('vllm_dp') });
    assert.deepEqual([...run(list, plan(1)).outcomes.worker], [0, 1]);
    assert.deepEqual([...run(list, plan(2)).outcomes.worker], [0, 0]);
  });

  it('see it when they poll, as old as it is', () => {
    /** Fewest requests as the router sees them, the first of equals. */
    const leastSeen = ({ loads }: PolicyDeps): Policy => ({
      ...{ name: 'least seen', needs: { cache: false } },
      choose: (_ask, { members }) => {
        const seen = members.map(({ slot }) => loads.running(slot));
        return { kind: 'chosen', index: seen.indexOf(Math.min(...seen)), reason: 'least' };
      },
    });
    const list = [asked({ output: 600 }), asked({ gapMs: 150, prefix: 1 })];
    const workers = (polls: Partial<FleetPlan>): number[] => [
      ...run(list, planOf([{}, {}], { routers: 2, policy: leastSeen, ...polls })).outcomes.worker,
    ];
    assert.deepEqual(workers({}), [0, 0]);
    assert.deepEqual(workers({ pollIntervalMs: 100 }), [0, 1]);
    assert.deepEqual(workers({ pollIntervalMs: 100, pollDelayMs: 60 }), [0, 0]);
  });

  it('make nothing of an old report while all load is their own', () => {
    // Answers of a few steps: what a report counts has mostly ended when it comes.
    const list = Array.from({ length: 200 }, (_, place) =>
      asked({ gapMs: place === 0 ? 0 : 8, prefix: place % 7, output: 1 + (place % 5) }),
    );
    for (const name of ['cache_aware', 'least_work', 'power_of_two']) {
      const workers = (polls: Partial<FleetPlan>): number[] => [
        ...run(list, planOf([{}, {}, {}], { policy: contender(name), ...polls })).outcomes.worker,
      ];
      const without = workers({});
      assert.deepEqual(workers({ pollIntervalMs: 50 }), without, name);
      assert.deepEqual(workers({ pollIntervalMs: 50, pollDelayMs: 40 }), without, name);
    }
  });
});
