import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { askFor, FakeFleet, prompt } from '../../../test/support/pool.ts';
import { CACHE_SOURCES } from '../policy.ts';
import type { Ask, Choice, HeldTokens, OccupancyView, Pool } from '../policy.ts';
import { LmcacheAwarePolicy, type LmcacheAwareSettings } from './lmcache-aware.ts';
import { RoundRobinPolicy } from './round-robin.ts';

const PREFIX: LmcacheAwareSettings = { lookupMode: 'prefix_lookup', cacheWeight: 0.7, loadBounded: true };

function setUp(settings: Partial<LmcacheAwareSettings> = {}, chunks?: Readonly<Record<number, number>>) {
  const fleet = new FakeFleet();
  const known = chunks && new Map(Object.entries(chunks).map(([slot, count]) => [Number(slot), count]));
  const lmcache: OccupancyView = { chunks: () => known };
  const fallback = new RoundRobinPolicy(fleet);
  const policy = new LmcacheAwarePolicy(
    { ...PREFIX, ...settings },
    { loads: fleet.loads, lmcache, fallback },
  );
  const choose = (ask: Ask, pool: Pool) => chosen(policy.choose(ask, pool));
  return { fleet, policy, choose };
}

function chosen(choice: Choice) {
  assert.ok(choice.kind === 'chosen');
  return choice;
}

/** A prompt of 8,000 tokens, stored so far by slot. */
function held(tokens: Readonly<Record<number, number>>): Ask {
  const entries: HeldTokens[] = Object.entries(tokens).map(([slot, count]) => ({
    ...{ slot: Number(slot), tokens: count, tier: 'cpu' },
  }));
  return { ...askFor(prompt(8000)), holdings: { held: entries } };
}

describe('lmcache_aware by prefix', () => {
  it('takes the worker that stores most of the prompt, and says what each stores', () => {
    const { fleet, choose } = setUp();
    const choice = choose(held({ 1: 512, 2: 4096 }), fleet.pool(4));
    assert.equal(choice.index, 2);
    assert.equal(choice.reason, 'longest_prefix');
    assert.equal(choice.method, 'lmcache-prefix');
    assert.deepEqual([...(choice.matchedTokens ?? [])], [0, 512, 4096, 0]);
    assert.deepEqual(
      [...(choice.knowledge?.sources ?? [])].map((source) => CACHE_SOURCES[source]),
      ['none', 'lmcache', 'lmcache', 'none'],
    );
    assert.deepEqual([...(choice.knowledge?.tiers?.cpu ?? [])], [0, 512, 4096, 0]);
  });

  it('never takes one that may not be chosen, whatever it stores', () => {
    const { fleet, choose } = setUp({ loadBounded: false });
    assert.equal(choose(held({ 1: 512, 2: 4096 }), fleet.pool(4, { masked: [2] })).index, 1);
    const choice = choose(held({ 2: 4096, 9: 4096 }), fleet.pool(4, { masked: [2] }));
    assert.equal(choice.method, undefined);
    assert.deepEqual(choice.fallback, { policy: 'round_robin', cause: 'no_knowledge' });
  });

  it('passes it over where its queue costs more than what is stored there saves, unless told not to', () => {
    for (const [queue, index, reason, method] of [
      [4000, 2, 'longest_prefix', 'lmcache-prefix'],
      [4200, 0, 'affinity_bounded', undefined],
    ] as const) {
      const bounded = setUp();
      bounded.fleet.at(2).prefillTokens = queue;
      const choice = bounded.choose(held({ 2: 4096 }), bounded.fleet.pool(3));
      assert.deepEqual([choice.index, choice.reason, choice.method], [index, reason, method]);
    }
    const free = setUp({ loadBounded: false });
    free.fleet.at(2).prefillTokens = 1e6;
    assert.equal(free.choose(held({ 2: 512 }), free.fleet.pool(3)).index, 2);
  });

  it('may pass it over for another that stores some', () => {
    const { fleet, choose } = setUp();
    fleet.at(2).prefillTokens = 4000;
    const choice = choose(held({ 1: 2048, 2: 4096 }), fleet.pool(3));
    assert.deepEqual([choice.index, choice.reason, choice.method], [1, 'shorter_queue', 'lmcache-prefix']);
  });

  it('of several that store equally much takes the one with the shortest queue', () => {
    const { fleet, choose } = setUp({ loadBounded: false });
    fleet.at(1).prefillTokens = 500;
    assert.equal(choose(held({ 1: 512, 2: 512 }), fleet.pool(3)).index, 2);
  });

  it('goes by occupancy where nobody stores any of it or nobody was asked', () => {
    const { fleet, choose } = setUp({}, { 0: 1, 1: 100 });
    for (const ask of [held({}), held({ 1: 0 }), askFor(prompt(8000))]) {
      const choice = choose(ask, fleet.pool(3));
      assert.deepEqual([choice.index, choice.reason, choice.method], [1, 'occupancy', undefined]);
      assert.equal(choice.fallback, undefined);
    }
  });
});

describe('lmcache_aware by occupancy', () => {
  const occupancy = { lookupMode: 'occupancy' } as const;

  it('weighs what is stored against the load: w * chunks / most + (1 - w) * (1 - running / most)', () => {
    const { fleet, choose } = setUp(occupancy, { 0: 100, 1: 50 });
    fleet.at(0).running = 4;
    fleet.at(1).running = 1;
    const choice = choose(askFor(), fleet.pool(3));
    // 0.7 + 0, 0.35 + 0.225, 0 + 0.3; the lower the better.
    assert.deepEqual(
      [...(choice.scores ?? [])].map((score) => Math.round(1000 * score)),
      [300, 425, 700],
    );
    assert.equal(choice.index, 0);
    fleet.at(0).running = 400;
    const cheap = setUp({ ...occupancy, cacheWeight: 0.2 }, { 0: 100, 1: 50 });
    cheap.fleet.at(0).running = 400;
    assert.equal(cheap.choose(askFor(), cheap.fleet.pool(3)).index, 1);
  });

  it('passes over who stores most where its queue costs more than to compute the whole prompt elsewhere', () => {
    for (const [queue, index, reason] of [
      [7900, 0, 'occupancy'],
      [8100, 1, 'affinity_bounded'],
    ] as const) {
      const { fleet, choose } = setUp(occupancy, { 0: 100, 1: 50 });
      fleet.at(0).prefillTokens = queue;
      const choice = choose(askFor(prompt(8000)), fleet.pool(3));
      assert.deepEqual([choice.index, choice.reason], [index, reason]);
    }
    const { fleet, choose } = setUp({ ...occupancy, loadBounded: false }, { 0: 100, 1: 50 });
    fleet.at(0).prefillTokens = 1e6;
    assert.equal(choose(askFor(prompt(8000)), fleet.pool(3)).index, 0);
  });

  it('does not look at what is said of the prompt', () => {
    const { fleet, choose, policy } = setUp(occupancy, { 0: 100 });
    assert.equal(choose(held({ 2: 4096 }), fleet.pool(3)).index, 0);
    assert.deepEqual({ ...policy.needs }, { cache: false, tokens: false, lmcache: 'occupancy' });
    assert.deepEqual({ ...setUp().policy.needs }, { cache: false, tokens: true, lmcache: 'prompts' });
  });

  it('leaves the choice to the fallback where the controller does not say, or nobody in the pool stores anything', () => {
    for (const chunks of [undefined, { 7: 100 }, { 0: 0 }]) {
      const { fleet, choose } = setUp(occupancy, chunks);
      const pool = fleet.pool(3);
      assert.deepEqual(
        [1, 2, 3].map(() => choose(askFor(), pool).index),
        [0, 1, 2],
      );
      assert.equal(choose(askFor(), pool).fallback?.cause, 'no_knowledge');
    }
  });

  it('does not take a turn of the fallback for a mere look', () => {
    const { fleet, policy, choose } = setUp(occupancy);
    const pool = fleet.pool(3);
    const looks = [1, 2].map(() => chosen(policy.peek(askFor(), pool)).index);
    assert.deepEqual([...looks, choose(askFor(), pool).index], [0, 0, 0]);
  });
});
