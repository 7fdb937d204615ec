/** One suite over every policy in the table: what any way of choosing must keep, whatever it prefers. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { seededRandom } from '../../src/base/random.ts';
import { VirtualClock } from '../../src/base/virtual-clock.ts';
import { KnownCaches } from '../../src/cache-knowledge/known-caches.ts';
import { PredictedIndex } from '../../src/cache-knowledge/predicted-index.ts';
import type { PolicySettings } from '../../src/config/settings/settings.ts';
import { EXCLUDED } from '../../src/routing/policy.ts';
import type { Ask, Policy, PolicyDeps, Pool } from '../../src/routing/policy.ts';
import { POLICIES, createPolicy, type PolicyName } from '../../src/routing/policies/index.ts';
import { examplePlugin } from '../support/plugins.ts';
import { FakeFleet, askFor, dispatch, prompt } from '../support/pool.ts';

fc.configureGlobal({ seed: 7 });

const hashing = { virtualNodes: 40, loadBound: undefined, stickyTtlMs: 1_800_000 };
const kv = { blockSize: 16, weights: { gpu: 1, cpu: 0.3, disk: 0.05 }, speculativeMs: 2000 };
const SETTINGS: { readonly [Name in PolicyName]: readonly PolicySettings[] } = {
  random: [{ type: 'random' }],
  round_robin: [{ type: 'round_robin' }],
  power_of_two: [{ type: 'power_of_two', loadCheckIntervalMs: 0 }],
  consistent_hash: [
    { type: 'consistent_hash', ...hashing },
    { type: 'consistent_hash', ...hashing, loadBound: 1.25 },
  ],
  rendezvous_hash: [
    { type: 'rendezvous_hash', ...hashing },
    { type: 'rendezvous_hash', ...hashing, loadBound: 1.25 },
  ],
  cache_aware: [
    { type: 'cache_aware', cacheThreshold: 0.3, balanceAbsThreshold: 64, balanceRelThreshold: 1.5 },
  ],
  least_work: [{ type: 'least_work', theta: 0.3 }],
  kv_aware: [
    { type: 'kv_aware', ...kv, loadBounded: true },
    { type: 'kv_aware', ...kv, loadBounded: false },
  ],
  lmcache_aware: (['occupancy', 'prefix_lookup'] as const).map((lookupMode) => ({
    ...{ type: 'lmcache_aware', lookupMode, cacheWeight: 0.7, loadBounded: true },
    fallback: { type: 'power_of_two', loadCheckIntervalMs: 0 },
  })),
};

/** A fleet whose loads follow what is dispatched, over a real prefix index. */
class Bench {
  readonly fleet = new FakeFleet();
  readonly index = new PredictedIndex({
    maxBytes: 2 ** 20,
    maxBlocksPerWorker: 4096,
    clock: new VirtualClock(),
  });
  readonly policy: Policy;

  constructor(settings: PolicySettings, seed = 1) {
    const deps: PolicyDeps = {
      loads: this.fleet.loads,
      cache: new KnownCaches({ predicted: this.index }),
      clock: this.fleet.clock,
      random: seededRandom(seed),
    };
    // A plugin's policy has to keep all this by itself: nothing is left to its fallback.
    this.policy = createPolicy(settings, deps, ({ message }) => assert.fail(message));
  }

  send(ask: Ask, pool: Pool, options: { hold?: boolean } = {}): number {
    const { index } = dispatch(this.policy, ask, pool);
    const slot = pool.members[index]!.slot;
    this.index.record(ask.blocks(), slot);
    if (options.hold) {
      this.fleet.at(slot).running += 1;
      this.fleet.at(slot).prefillTokens += 100;
    }
    return index;
  }
}

const distinct = (i: number): Ask => askFor(prompt(64, i), { value: `session-${i}` });

for (const name of Object.keys(POLICIES) as PolicyName[]) {
  for (const settings of SETTINGS[name]) {
    const bound = 'loadBound' in settings && settings.loadBound !== undefined ? ', bounded load' : '';
    describe(`policy ${name}${bound}`, () => {
      suite(name, settings);
    });
  }
}

const EXAMPLE = (await examplePlugin('least-recently-used')).policies?.['least_recently_used'];
assert.ok(EXAMPLE);
const plugin: PolicySettings = {
  ...{ type: 'plugin', name: 'least_recently_used', plugin: EXAMPLE, parameters: { maxRunning: 64 } },
  ...{ fallback: { type: 'random' }, timeoutMs: 50, overrunMs: 10 },
};
describe('the policy of a plugin', () => {
  suite('least_recently_used', plugin);
});

function suite(name: string, settings: PolicySettings): void {
  it('bears its name', () => {
    assert.equal(new Bench(settings).policy.name, name);
  });

  it('chooses an eligible member of any pool under any load, mask and ramp, and explains it', () => {
    const member = fc.record({
      excluded: fc.constantFrom(...Object.values(EXCLUDED)),
      running: fc.nat(300),
      prefillTokens: fc.nat(100_000),
      rate: fc.integer({ min: 1, max: 50_000 }),
      ramp: fc.double({ min: 1, max: 10, noNaN: true }),
    });
    const step = fc.record({
      members: fc.array(member, { maxLength: 7 }),
      key: fc.nat(5),
      tokens: fc.nat(400),
      left: fc.nat(6),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
        const bench = new Bench(settings);
        steps.forEach(({ members, key, tokens, left }, generation) => {
          const masked = members.flatMap((each, index) => (each.excluded === EXCLUDED.no ? [] : [index]));
          members.forEach((each, slot) => Object.assign(bench.fleet.at(slot), each));
          const pool = bench.fleet.pool(members.length, { generation, masked });
          const ask = askFor(prompt(tokens, key), { value: `session-${key}` });
          const choice = bench.policy.choose(ask, pool);
          assert.equal(choice.kind, pool.eligible === 0 ? 'none' : 'chosen');
          assert.match(choice.reason, /^[a-z_]+$/);
          if (choice.kind === 'none') return;
          assert.equal(pool.mask[choice.index], EXCLUDED.no);
          for (const row of [choice.scores, choice.matchedTokens]) {
            if (!row) continue;
            assert.equal(row.length, members.length);
            for (const index of masked) assert.ok(Number.isNaN(row[index]));
            assert.ok(!Number.isNaN(row[choice.index]));
          }
          bench.send(ask, pool);
          bench.policy.observe?.({ type: 'left', slot: left });
        });
      }),
      { numRuns: 60 },
    );
  });

  it('hands out arrays that nothing changes until it is asked again', () => {
    const { policy, fleet } = new Bench(settings);
    const ask = distinct(1);
    const first = policy.choose(ask, fleet.pool(4));
    const copy = structuredClone(first);
    fleet.at(0).running = 9;
    fleet.at(1).prefillTokens = 999;
    for (let slot = 0; slot < 4; slot++)
      policy.observe?.({ type: 'dispatched', ask, slot, matchedTokens: 0 });
    assert.deepEqual(first, copy);
  });

  it('repeats itself under the same seed', () => {
    const run = (): number[] => {
      const bench = new Bench(settings, 42);
      return Array.from({ length: 300 }, (_, i) => {
        const masked = i % 7 === 0 ? [i % 5] : [];
        return bench.send(distinct(i % 40), bench.fleet.pool(5, { masked }), { hold: i % 3 === 0 });
      });
    };
    assert.deepEqual(run(), run());
  });

  it('spreads distinct requests over an idle fleet and over a busy one', () => {
    for (const hold of [false, true]) {
      const bench = new Bench(settings);
      const counts = new Array<number>(5).fill(0);
      for (let i = 0; i < 3000; i++) counts[bench.send(distinct(i), bench.fleet.pool(5), { hold })]! += 1;
      for (const count of counts) assert.ok(count > 350 && count < 950, counts.join(' '));
    }
  });

  it('uses a worker that joins and none that left', () => {
    const bench = new Bench(settings);
    for (let i = 0; i < 200; i++) bench.send(distinct(i), bench.fleet.pool([0, 1, 2]));
    const grown = bench.fleet.pool([0, 1, 2, 3], { generation: 2 });
    const used = new Set(Array.from({ length: 400 }, (_, i) => bench.send(distinct(1000 + i), grown)));
    assert.ok(used.has(3));
    bench.policy.observe?.({ type: 'left', slot: 0 });
    bench.index.forget(0);
    const shrunk = bench.fleet.pool([1, 2, 3], { generation: 3 });
    const slots = Array.from(
      { length: 400 },
      (_, i) => shrunk.members[bench.send(distinct(i), shrunk)]!.slot,
    );
    assert.deepEqual([...new Set(slots)].sort(), [1, 2, 3]);
  });

  it('keeps pools apart: what happens in one does not reach into another', () => {
    const bench = new Bench(settings);
    const one = bench.fleet.pool([0, 1], { key: 'one' });
    const other = bench.fleet.pool([2, 3], { key: 'other' });
    for (let i = 0; i < 200; i++) {
      assert.ok(bench.send(distinct(i % 20), i % 2 === 0 ? one : other) < 2);
    }
  });

  it('holds a bounded state, whatever the keys, pools and generations', () => {
    const bench = new Bench(settings);
    const stable = bench.fleet.pool(3);
    const run = (from: number): void => {
      for (let i = from; i < from + 70_000; i++) {
        dispatch(bench.policy, askFor(undefined, { value: `session-${i}` }), stable);
      }
      for (let i = from; i < from + 1500; i++) {
        dispatch(bench.policy, askFor(), bench.fleet.pool(3, { key: `model-${i}`, generation: i }));
      }
    };
    // Past every limit (65,536 pins, 1,024 pools), then as much again.
    run(0);
    const before = liveBytes();
    run(100_000);
    const grown = liveBytes() - before;
    assert.ok(grown < 4 * 2 ** 20, `${grown} bytes more`);
  });
}

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

function liveBytes(): number {
  collectGarbage();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

describe('hash policies', () => {
  for (const name of ['consistent_hash', 'rendezvous_hash'] as const) {
    it(`${name}: a removed worker's keys move, no others`, () => {
      const bench = new Bench(SETTINGS[name][0]!);
      const ask = (i: number): Ask =>
        askFor(undefined, { source: 'prompt', value: `print-${i}`, sticky: false });
      const before = bench.fleet.pool([0, 1, 2, 3]);
      const after = bench.fleet.pool([0, 1, 3], { generation: 2 });
      for (let i = 0; i < 1000; i++) {
        const home = before.members[bench.send(ask(i), before)]!.slot;
        const now = after.members[bench.send(ask(i), after)]!.slot;
        if (home !== 2) assert.equal(now, home);
      }
    });
  }
});

describe('policies with cache knowledge', () => {
  for (const name of ['cache_aware', 'least_work'] as const) {
    it(`${name}: asks for the index, follows a conversation, and says what it saw`, () => {
      const bench = new Bench(SETTINGS[name][0]!);
      assert.equal(bench.policy.needs.cache, true);
      const pool = bench.fleet.pool(4);
      const home = bench.send(askFor(prompt(640, 1)), pool);
      for (let i = 2; i < 20; i++) bench.send(askFor(prompt(640, i)), pool);
      const choice = dispatch(bench.policy, askFor(prompt(960, 1)), pool);
      assert.equal(choice.index, home);
      assert.equal(choice.matchedTokens?.[home], 640);
    });

    it(`${name}: keeps conversations together and strangers apart`, () => {
      const bench = new Bench(SETTINGS[name][0]!);
      const pool = bench.fleet.pool(4);
      const homes = Array.from({ length: 12 }, (_, chat) => bench.send(askFor(prompt(320, chat)), pool));
      for (let turn = 2; turn <= 5; turn++) {
        for (let chat = 0; chat < 12; chat++) {
          assert.equal(bench.send(askFor(prompt(320 * turn, chat)), pool), homes[chat]);
        }
      }
      assert.deepEqual(
        [0, 1, 2, 3].map((index) => homes.filter((home) => home === index).length),
        [3, 3, 3, 3],
      );
    });

    it(`${name}: bounds affinity`, () => {
      const bench = new Bench(SETTINGS[name][0]!);
      const pool = bench.fleet.pool(4);
      const home = bench.send(askFor(prompt(640, 1)), pool);
      bench.fleet.at(home).prefillTokens = 100_000;
      assert.notEqual(dispatch(bench.policy, askFor(prompt(960, 1)), pool).index, home);
    });
  }
});
