import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { askFor, dispatch, FakeFleet, prompt } from '../../../test/support/pool.ts';
import type { Policy } from '../../routing/policy.ts';
import { BASELINES } from './index.ts';
import type { BaselineDeps } from './baseline.ts';

/** A hand-made pool, with what the field's routers read beside it. */
class Field extends FakeFleet {
  /** Running, waiting and KV usage as the engines say it, by slot. */
  engines: [running: number, waiting: number, kvUsage: number][] = [];
  /** Distinct blocks that would be active with the prompt that is asked about. */
  active: number[] = [];
  believed: number[] = [];
  capacity = 100_000;

  get all(): BaselineDeps {
    return {
      ...this.deps,
      cacheFor: () => this.deps.cache,
      engineStats: () => ({
        running: (slot) => this.engines[slot]?.[0] ?? 0,
        waiting: (slot) => this.engines[slot]?.[1] ?? 0,
        kvUsage: (slot) => this.engines[slot]?.[2] ?? 0,
      }),
      activeBlocks: () => ({ with: (slot) => this.active[slot] ?? 0 }),
      onFirstToken: () => undefined,
      believedBlocks: (slot) => this.believed[slot] ?? 0,
      cacheTokens: () => this.capacity,
    };
  }

  running(...counts: number[]): this {
    for (const [slot, count] of counts.entries()) this.at(slot).running = count;
    return this;
  }

  waitingTokens(...counts: number[]): this {
    for (const [slot, count] of counts.entries()) this.at(slot).prefillTokens = count;
    return this;
  }

  make(name: keyof typeof BASELINES): Policy {
    return BASELINES[name](this.all);
  }
}

const ASK = askFor(prompt(1600));

function choose(field: Field, policy: Policy, masked: readonly number[] = []) {
  const choice = dispatch(policy, ASK, field.pool(3, { masked }));
  return { index: choice.index, reason: choice.reason, scores: [...(choice.scores ?? [])] };
}

describe('the formulas of the field', () => {
  it('least_requests: the shortest queue', () => {
    const field = new Field().running(3, 1, 2);
    assert.equal(choose(field, field.make('least_requests')).index, 1);
  });

  it('vllm_dp: 4 * waiting + running, with what was sent since the last count as waiting', () => {
    const field = new Field();
    field.engines = [
      [9, 0, 0],
      [1, 2, 0],
      [7, 0, 0],
    ];
    const policy = field.make('vllm_dp');
    assert.deepEqual(choose(field, policy), { index: 2, reason: 'score', scores: [9, 9, 7] });
    // 7 + 4 now; of the two nines the first.
    assert.equal(choose(field, policy).index, 0);
    assert.deepEqual(choose(field, policy).scores, [13, 9, 11]);
    // A new count: nothing has been sent since.
    field.clock.advance(150);
    assert.deepEqual(choose(field, policy).scores, [9, 9, 7]);
  });

  it('sglang_cache_aware: best match above 30%, else the smallest tree, out of balance the shortest queue', () => {
    const field = new Field();
    const policy = field.make('sglang_cache_aware');
    const send = (tokens: number, id: number) => {
      const { index, reason } = dispatch(policy, askFor(prompt(tokens, id)), field.pool(3));
      return [index, reason];
    };
    // Its tree grows with what it sends, whatever the engines hold.
    field.cached = [0, 0, 1600];
    assert.deepEqual(send(480, 1), [0, 'smallest_tree']);
    assert.deepEqual(send(3200, 2), [1, 'smallest_tree']);
    assert.deepEqual(send(1600, 3), [2, 'smallest_tree']);
    // 480 of 1,600 are 30%, which is not more; of 1,500 it is.
    assert.deepEqual(send(1500, 1), [0, 'best_match']);
    field.running(65, 0, 40);
    assert.deepEqual(send(1500, 1), [1, 'shortest_queue']);
    // 64 more than the least are not out of balance yet.
    field.running(64, 0, 40);
    assert.deepEqual(send(480, 1), [0, 'best_match']);
  });

  it('dynamo_cost: blocks that wait, this prompt’s uncached ones and all that would be active', () => {
    const field = new Field().waitingTokens(0, 1600, 0);
    field.cached = [0, 1600, 800];
    field.active = [100, 100, 120];
    const { index, scores } = choose(field, field.make('dynamo_cost'));
    // (0 + 1600) / 16 + 100, (1600 + 0) / 16 + 100, (0 + 800) / 16 + 120
    assert.deepEqual(scores, [200, 200, 170]);
    assert.equal(index, 2);
  });

  it('llm_d_default: 2 * queue + 2 * free cache + 3 * prefix', () => {
    const field = new Field();
    field.engines = [
      [0, 0, 0.9],
      [0, 4, 0.1],
      [0, 2, 0.5],
    ];
    field.cached = [0, 1600, 800];
    const { index, scores } = choose(field, field.make('llm_d_default'));
    // 2 * 1 + 2 * 0.1, 0 + 2 * 0.9 + 3, 2 * 0.5 + 2 * 0.5 + 1.5
    assert.deepEqual(
      scores.map((score) => Math.round(-score * 10) / 10),
      [2.2, 4.8, 3.5],
    );
    assert.equal(index, 1);
  });

  it('preble_e2: the best match when most is cached, unless it is hot; else the least booked work', () => {
    const field = new Field();
    field.cached = [900, 0, 0];
    const policy = field.make('preble_e2');
    assert.equal(choose(field, policy).reason, 'exploit');
    // Booked: a second for the answer and 700 tokens at 8,000 per second; nothing elsewhere.
    assert.deepEqual(
      [choose(field, policy)].map(({ index, reason }) => [index, reason]),
      [[1, 'redirected']],
    );
    field.cached = [700, 0, 0];
    assert.deepEqual(
      [choose(field, policy)].map(({ index, reason }) => [index, reason]),
      [[2, 'explore']],
    );
    // After three minutes nothing is booked any more.
    field.clock.advance(180_001);
    field.cached = [900, 0, 0];
    assert.deepEqual(
      [choose(field, policy)].map(({ index, reason }) => [index, reason]),
      [[0, 'exploit']],
    );
  });

  it('preble_e2: what a prompt pushes out is part of its price', () => {
    const field = new Field();
    field.capacity = 16_000;
    field.believed = [1000, 0, 1000];
    assert.equal(choose(field, field.make('preble_e2')).index, 1);
  });

  it('bounded_load_prefix_hash: the same worker for the same beginning, while its load is within 1.25 of the mean', () => {
    const field = new Field();
    const policy = field.make('bounded_load_prefix_hash');
    const home = choose(field, policy);
    assert.equal(home.reason, 'within_bound');
    assert.equal(choose(field, policy).index, home.index);
    // 9 requests and this one over three: 5 at most each.
    field.at(home.index).running = 9;
    const other = choose(field, policy);
    assert.notEqual(other.index, home.index);
    assert.equal(choose(field, policy).index, other.index);
    field.at(home.index).running = 4;
    for (const slot of [0, 1, 2].filter((one) => one !== home.index)) field.at(slot).running = 4;
    assert.equal(choose(field, policy).index, home.index);
  });

  it('dual_map: of two places the warmer, unless its first token comes too late', () => {
    const field = new Field();
    const policy = field.make('dual_map');
    const { scores } = choose(field, policy);
    const places = [0, 1, 2].filter((slot) => !Number.isNaN(scores[slot]));
    assert.equal(places.length, 2);
    const [one = 0, two = 0] = places;
    field.cached[two] = 800;
    assert.deepEqual(
      [choose(field, policy)].map(({ index, reason }) => [index, reason]),
      [[two, 'warmer']],
    );
    // 8,000 tokens per second: more than the five seconds of its objective.
    field.at(two).prefillTokens = 48_000;
    assert.deepEqual(
      [choose(field, policy)].map(({ index, reason }) => [index, reason]),
      [[one, 'quicker']],
    );
  });

  it('lmetric_product: tokens that would wait times requests in the batch', () => {
    const field = new Field().running(9, 0, 1).waitingTokens(0, 800, 0);
    field.cached = [1600, 0, 400];
    const { index, scores } = choose(field, field.make('lmetric_product'));
    assert.deepEqual(scores, [10, 2401, 2402]);
    assert.equal(index, 0);
  });

  for (const name of Object.keys(BASELINES) as (keyof typeof BASELINES)[]) {
    it(`${name}: never chooses who may not be chosen, and nobody where nobody may`, () => {
      const field = new Field();
      field.cached = [1600, 0, 0];
      const policy = field.make(name);
      for (let count = 0; count < 20; count += 1) assert.equal(choose(field, policy, [0, 1]).index, 2);
      assert.equal(policy.choose(ASK, field.pool(3, { masked: [0, 1, 2] })).kind, 'none');
      assert.equal(policy.choose(askFor(), field.pool(3)).kind, 'chosen');
    });
  }
});
