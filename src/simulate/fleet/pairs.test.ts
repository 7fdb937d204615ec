import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { blocksFromHashIds } from '../../routing/hash-ids.ts';
import { MODEL_DEFAULTS, type ModelSettings } from '../../sim/engine/model-settings.ts';
import { contendersOf } from '../study/contenders.ts';
import { SIMULATE_DEFAULTS, type Split } from '../study/options.ts';
import type { Trace, TraceRequest } from '../traces/trace.ts';
import type { Contender } from './experiment.ts';
import type { FleetPlan, WorkerPlan } from './fleet-plan.ts';
import { Simulation, type RunResult } from './simulation.ts';

fc.configureGlobal({ seed: 7 });

const BLOCK = 16;
const SMALL: ModelSettings = { ...MODEL_DEFAULTS, blocks: 200, maxModelLen: 3200, maxRunning: 6 };

function contender(split: Split, policy = 'pair_cost'): Contender {
  const options = { ...SIMULATE_DEFAULTS, prefill: 1, decode: 1, splits: [split], policies: [policy] };
  const all = contendersOf(options);
  assert.ok(typeof all !== 'string');
  const [first] = all;
  assert.ok(first);
  return first;
}

function workersOf(roles: string, rest: Readonly<Record<number, Partial<WorkerPlan>>> = {}): WorkerPlan[] {
  const role = { p: 'prefill', d: 'decode', r: 'regular' } as const;
  return [...roles].map((letter, index) => ({
    ...{ settings: SMALL, role: role[letter as keyof typeof role] },
    ...rest[index],
  }));
}

function planOf(workers: readonly WorkerPlan[], split: Split, rest: Partial<FleetPlan> = {}): FleetPlan {
  const { policy, pairs } = contender(split);
  return {
    ...{ workers, policy, pairs, transferTokensPerSecond: 10_000 },
    cache: { source: 'predicted', maxBlocksPerWorker: 200 },
    ...{ routers: 1, pollIntervalMs: 0, pollDelayMs: 0, slowStartMs: 0, speed: 1, seed: 1 },
    ...rest,
  };
}

interface Asked {
  readonly at?: number;
  readonly prompt?: number;
  readonly output?: number;
  readonly prefix?: number;
}

function run(asked: readonly Asked[], plan: FleetPlan): RunResult {
  const requests = asked.map(({ at = 0, prompt = 800, output = 20, prefix = 0 }, place): TraceRequest => {
    const count = Math.floor(prompt / BLOCK);
    const ids = Array.from({ length: count }, (_, block) =>
      block < count / 2 ? prefix * 1000 + block : 1_000_000 * (place + 1) + block,
    );
    const blocks = blocksFromHashIds(ids, BLOCK, prompt);
    return { ...{ at, promptTokens: prompt, outputTokens: output, session: undefined }, blocks };
  });
  const trace: Trace = {
    ...{ name: 'made up', blockSize: BLOCK },
    requests: requests.toSorted((left, right) => left.at - right.at),
  };
  const steps = new Simulation(trace, plan).steps(1000);
  for (let slice = 0; slice < 1000; slice += 1) {
    const { done, value } = steps.next();
    if (done) return value;
  }
  return assert.fail('it never ends');
}

describe('a request that is split', () => {
  it('is computed at one engine, comes over the link, and is answered by the other', () => {
    const { outcomes, computedTokens, generatedTokens } = run([{}], planOf(workersOf('pd'), 'always'));
    assert.deepEqual([...outcomes.prefill, ...outcomes.worker], [0, 1]);
    const prefill = 800 / 8 + 0;
    const transfer = 800 / 10;
    const lastToken = 1 / 8;
    const decode = MODEL_DEFAULTS.decodeBaseMs + MODEL_DEFAULTS.decodePerRequestMs;
    const near = (actual: number | undefined, expected: number): void =>
      assert.ok(Math.abs((actual ?? NaN) - expected) < 0.5, `${String(actual)} is not ${String(expected)}`);
    near(outcomes.ttftMs[0], prefill + transfer + lastToken);
    near(outcomes.e2eMs[0], prefill + transfer + lastToken + 19 * decode);
    assert.equal(computedTokens[0], 800);
    assert.ok((computedTokens[1] ?? NaN) <= 1);
    assert.deepEqual(generatedTokens, [1, 20]);
  });

  it('fetches only what the engine that answers does not have', () => {
    const again = [{}, { at: 2000 }];
    const { outcomes } = run(again, planOf(workersOf('pd'), 'always'));
    const [first = NaN, second = NaN] = outcomes.ttftMs;
    // Half of the prompt is the same: half the prefill and half the transfer.
    assert.ok(second < 0.55 * first, `${String(second)} of ${String(first)}`);
    assert.equal(outcomes.cachedTokens[1], 400);
  });

  it('waits where another one fetches over the same link', () => {
    const both = [{ prefix: 1 }, { prefix: 2 }];
    const slow = { transferTokensPerSecond: 1000 };
    const one = run([{ prefix: 1 }], planOf(workersOf('pd'), 'always', slow)).outcomes.ttftMs[0] ?? NaN;
    const { ttftMs } = run(both, planOf(workersOf('pd'), 'always', slow)).outcomes;
    assert.ok((ttftMs[1] ?? NaN) > 1.7 * one);
  });

  it('holds blocks at the engine that computed it until they are fetched, and no longer', () => {
    const tight = { ...SMALL, blocks: 110, maxModelLen: 1700 };
    const plan = planOf(workersOf('pd', { 0: { settings: tight } }), 'always', {
      transferTokensPerSecond: 200,
    });
    const { outcomes } = run(
      [
        { prefix: 1, prompt: 1600 },
        { prefix: 2, prompt: 1600 },
      ],
      plan,
    );
    const [first = NaN, second = NaN] = outcomes.ttftMs;
    // 8 s for the first transfer: only then the second prompt finds room.
    assert.ok(first > 8000 && second > 2 * 8000, `${String(first)} ${String(second)}`);
  });

  it('goes whole where it is expected to be sooner: here the prompt is known', () => {
    const { outcomes } = run(
      [{}, { at: 2000 }],
      planOf(workersOf('pd'), 'auto', { transferTokensPerSecond: 100 }),
    );
    assert.deepEqual([...outcomes.prefill], [-1, -1]);
    const busy = Array.from({ length: 12 }, (_, prefix) => ({ prefix }));
    const split = run(busy, planOf(workersOf('pd'), 'auto')).outcomes.prefill;
    assert.ok(split.includes(0) && split.includes(-1), [...split].join());
  });

  it('is split from so many uncached tokens on', () => {
    const lengths = [300, 500, 700].map((prompt, prefix) => ({ prompt, prefix, at: 3000 * prefix }));
    assert.deepEqual([...run(lengths, planOf(workersOf('pd'), 500)).outcomes.prefill], [-1, 0, 0]);
    assert.deepEqual([...run(lengths, planOf(workersOf('pd'), 'never')).outcomes.prefill], [-1, -1, -1]);
  });
});

describe('engines of pairs that die', () => {
  const four = Array.from({ length: 4 }, (_, prefix) => ({ prefix }));

  it('the one that computes: its prompts are computed elsewhere', () => {
    const plan = planOf(workersOf('ppd', { 0: { diesAtMs: 50 } }), 'always');
    const { outcomes, openLeases } = run(four, plan);
    assert.ok(!outcomes.e2eMs.some(Number.isNaN));
    assert.ok(outcomes.attempts.includes(2));
    assert.ok(outcomes.prefill.every((engine) => engine === 1));
    assert.equal(openLeases, 0);
  });

  it('the one that computed, while blocks are under way: the prompt is computed where they were to go', () => {
    const plan = planOf(workersOf('pd', { 0: { diesAtMs: 150 } }), 'always', {
      transferTokensPerSecond: 1000,
    });
    const { outcomes, computedTokens } = run([{}], plan);
    assert.equal(outcomes.attempts[0], 1);
    assert.equal(computedTokens[1], 800);
    assert.ok(!Number.isNaN(outcomes.e2eMs[0]));
  });

  it('the one that answers: it is sent again as a whole, and nobody keeps its blocks', () => {
    const settings = { ...SMALL, blocks: 110, maxModelLen: 1700 };
    const workers = workersOf('pdd', { 0: { settings }, 1: { diesAtMs: 150 } });
    const long = [{ prompt: 800 }, { at: 500, prompt: 1600, prefix: 5 }];
    const plan = planOf(workers, 'always', { transferTokensPerSecond: 1000 });
    const { outcomes, openLeases } = run(long, plan);
    assert.deepEqual([...outcomes.worker], [2, 2]);
    assert.equal(outcomes.attempts[0], 2);
    // It finds room at once where nothing is kept for the dead one.
    assert.ok((outcomes.ttftMs[1] ?? NaN) < 3000);
    assert.equal(openLeases, 0);
  });

  it('all of one kind: requests go whole to those that can, and to nobody where none can', () => {
    const plan = planOf(workersOf('pd', { 0: { diesAtMs: 1 } }), 'always');
    assert.ok(!run([{ at: 10 }], plan).outcomes.e2eMs.some(Number.isNaN));
    const none = run([{ at: 10 }], planOf(workersOf('pd', { 1: { diesAtMs: 1 } }), 'always'));
    assert.ok(Number.isNaN(none.outcomes.e2eMs[0]));
    assert.equal(none.openLeases, 0);
  });
});

describe('any fleet with pairs', () => {
  const some = fc.record({
    roles: fc.constantFrom('pd', 'ppd', 'pdd', 'ppdd', 'prd', 'ppddr'),
    split: fc.constantFrom<Split>('auto', 'always', 'never', 400),
    policy: fc.constantFrom('pair_cost', 'least_work', 'round_robin', 'consistent_hash', 'cache_aware'),
    deaths: fc.array(fc.record({ worker: fc.nat(3), at: fc.nat(4000) }), { maxLength: 2 }),
    rate: fc.constantFrom(500, 20_000),
    routers: fc.constantFrom(1, 2),
    seed: fc.nat(100),
  });
  const someAsked = fc.array(
    fc.record({
      at: fc.nat(4000),
      prompt: fc.integer({ min: 1, max: 3100 }),
      output: fc.nat(60),
      prefix: fc.nat(3),
    }),
    { minLength: 1, maxLength: 40 },
  );

  it('answers whole or not at all, gives everything back, and does it again the same', () => {
    fc.assert(
      fc.property(some, someAsked, ({ roles, split, policy, deaths, rate, ...rest }, asked) => {
        const dying = Object.fromEntries(deaths.map(({ worker, at }) => [worker, { diesAtMs: at }]));
        const plan = planOf(workersOf(roles, dying), split, {
          ...{ ...rest, transferTokensPerSecond: rate, policy: contender(split, policy).policy },
          pairs: contender(split, policy).pairs,
        });
        const result = run(asked, plan);
        assert.equal(result.openLeases, 0);
        const { outcomes } = result;
        for (let place = 0; place < outcomes.length; place += 1) {
          if (deaths.length === 0) assert.ok(!Number.isNaN(outcomes.e2eMs[place]));
          assert.ok(!((outcomes.ttftMs[place] ?? NaN) > (outcomes.e2eMs[place] ?? NaN)));
          assert.notEqual(roles[outcomes.worker[place] ?? -1], 'p');
          const prefill = outcomes.prefill[place] ?? -1;
          if (prefill >= 0) assert.equal(roles[prefill], 'p');
        }
        assert.deepEqual(run(asked, plan).outcomes, outcomes);
      }),
      { numRuns: 150 },
    );
  });
});
