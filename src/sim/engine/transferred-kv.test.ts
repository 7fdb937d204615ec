import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { VirtualClock } from '../../base/virtual-clock.ts';
import { MODEL_DEFAULTS, type ModelSettings } from './model-settings.ts';
import type { IncomingKv, Sequence } from './sequence.ts';
import { blockHashes } from './tokens.ts';
import { WorkerModel, type Waking } from './worker-model.ts';

interface More {
  readonly incoming?: IncomingKv;
  readonly keepsBlocks?: boolean;
  readonly onDone?: (sequence: Sequence) => void;
}

function setUp(settings: Partial<ModelSettings> = {}, waking: Waking = 'step') {
  const clock = new VirtualClock();
  const model = new WorkerModel({ ...MODEL_DEFAULTS, maxModelLen: 1600, ...settings }, clock, waking);
  const done: Sequence[] = [];
  const submit = (topic: number, promptTokens: number, outputTokens: number, more: More = {}): Sequence => {
    const ids = Array.from({ length: promptTokens + outputTokens }, (_, i) => topic * 1_000_003 + i);
    return model.submit({
      promptTokens,
      outputTokens,
      hashes: blockHashes(ids, model.settings.blockSize, 0),
      finishedReason: 'length',
      ...more,
      onDone: (sequence) => {
        done.push(sequence);
        more.onDone?.(sequence);
      },
    });
  };
  return { clock, model, done, submit };
}

/** Comes after `ms`; says of how many tokens. */
function after(clock: VirtualClock, ms: number, arrived = true, asked: number[] = []): IncomingKv {
  return {
    fetch: (tokens, settle) => {
      asked.push(tokens);
      clock.after(ms, () => {
        settle(arrived);
      });
    },
  };
}

function near(actual: number, expected: number): void {
  assert.ok(Math.abs(actual - expected) < 1e-6, `${String(actual)} is not ${String(expected)}`);
}

describe('keys and values from another engine', () => {
  it('are waited for with the blocks taken, and all but the last token need not be computed', () => {
    const { clock, model, submit } = setUp();
    const asked: number[] = [];
    const sequence = submit(1, 800, 3, { incoming: after(clock, 40, true, asked) });
    clock.advance(39);
    assert.deepEqual(asked, [800]);
    assert.deepEqual([model.running, model.waiting, model.cache.used], [0, 1, 50]);
    clock.advance(1000);
    near(sequence.firstTokenAt, 40 + 1000 / 8000);
    near(sequence.finishedAt, sequence.firstTokenAt + 2 * 6.35);
    // As vLLM counts them: the prefix that came over the network is none of its own cache's.
    assert.equal(sequence.cachedTokens, 0);
    assert.deepEqual([model.stats.externalCacheQueries, model.stats.externalCacheHits], [800, 800]);
    assert.deepEqual([model.stats.prefixCacheHits, model.stats.promptTokens], [0, 800]);
  });

  it('are found in the cache ever after, so that of the same prompt only the last token comes again', () => {
    const { clock, submit } = setUp();
    const asked: number[] = [];
    submit(1, 801, 1, { incoming: after(clock, 10, true, asked) });
    clock.advance(100);
    const again = submit(1, 801, 1, { incoming: after(clock, 10, true, asked) });
    clock.advance(100);
    assert.deepEqual(asked, [801, 1]);
    assert.equal(again.cachedTokens, 800);
  });

  it('hold nobody else up', () => {
    const { clock, submit } = setUp();
    submit(1, 800, 3, { incoming: after(clock, 1000) });
    const other = submit(2, 800, 1);
    clock.advance(200);
    near(other.finishedAt, 100);
  });

  it('that do not come are computed', () => {
    const { clock, model, submit } = setUp();
    const sequence = submit(1, 800, 1, { incoming: after(clock, 40, false) });
    clock.advance(1000);
    near(sequence.finishedAt, 140);
    assert.equal(model.stats.externalCacheHits, 0);
    assert.equal(model.cache.used, 0);
  });

  it('of a request that left meanwhile free their blocks at once, and come to nobody', () => {
    const { clock, model, done, submit } = setUp();
    const sequence = submit(1, 800, 1, { incoming: after(clock, 40) });
    clock.advance(10);
    assert.equal(model.abort(sequence), true);
    assert.deepEqual([model.waiting, model.cache.used], [0, 0]);
    clock.advance(1000);
    assert.deepEqual(done, []);
  });

  it('that are there at once need no time', () => {
    const { clock, submit } = setUp();
    const sequence = submit(1, 800, 1, { incoming: { fetch: (_, settle) => settle(true) } });
    clock.advance(1);
    near(sequence.finishedAt, 1 / 8);
  });
});

describe('blocks kept for another engine', () => {
  it('stay taken until they are given back', () => {
    const { clock, model, submit } = setUp();
    const sequence = submit(1, 800, 1, { keepsBlocks: true });
    clock.advance(1000);
    assert.equal(sequence.state, 'done');
    assert.deepEqual([sequence.blocks.length, model.cache.used, model.kept], [50, 50, 1]);
    model.giveBack(sequence);
    model.giveBack(sequence);
    assert.deepEqual([sequence.blocks.length, model.cache.used, model.kept], [0, 0, 0]);
  });

  it('keep others waiting where there are no more, without a timer that turns for nothing', () => {
    for (const waking of ['step', 'change'] as const) {
      const { clock, model, submit } = setUp({ blocks: 100 }, waking);
      const kept = submit(1, 1500, 1, { keepsBlocks: true });
      clock.advance(1000);
      const other = submit(2, 800, 1);
      clock.advance(1000);
      assert.deepEqual([other.state, model.waiting, clock.pending], ['waiting', 1, 0]);
      model.giveBack(kept);
      clock.advance(1000);
      near(other.finishedAt, 2100);
    }
  });

  it('are given up by an abort', () => {
    const { clock, model, submit } = setUp();
    const sequence = submit(1, 800, 100, { keepsBlocks: true });
    clock.advance(150);
    model.abort(sequence);
    assert.deepEqual([model.cache.used, model.kept], [0, 0]);
  });
});

const visit = fc.record({
  gapMs: fc.nat(100),
  prompt: fc.integer({ min: 1, max: 800 }),
  output: fc.integer({ min: 1, max: 60 }),
  topic: fc.nat(2),
  fetchMs: fc.option(fc.nat(300), { nil: undefined }),
  arrives: fc.boolean(),
  keepMs: fc.option(fc.nat(500), { nil: undefined }),
  abortAfterMs: fc.option(fc.nat(600), { nil: undefined, freq: 4 }),
});

describe('engines with transfers', () => {
  it('give every block back, and come to the same whenever they look at the clock', () => {
    fc.assert(
      fc.property(fc.array(visit, { maxLength: 20 }), (visits) => {
        const run = (waking: Waking): string[] => {
          const { clock, model, done, submit } = setUp({ blocks: 110 }, waking);
          let at = 0;
          for (const [i, one] of visits.entries()) {
            // No two things at one instant: their order would be chance.
            const apart = (i + 1) / 97;
            at += one.gapMs + apart;
            clock.after(at, () => {
              const { fetchMs, keepMs, abortAfterMs } = one;
              const sequence = submit(one.topic, one.prompt, one.output, {
                ...(fetchMs !== undefined && { incoming: after(clock, fetchMs + apart / 3, one.arrives) }),
                keepsBlocks: keepMs !== undefined,
                onDone: (ended) => clock.after((keepMs ?? 0) + apart / 7, () => model.giveBack(ended)),
              });
              if (abortAfterMs !== undefined)
                clock.after(abortAfterMs + apart / 5, () => model.abort(sequence));
            });
          }
          clock.advance(1_000_000);
          assert.deepEqual([model.cache.used, model.running, model.waiting, model.kept], [0, 0, 0, 0]);
          return done.map(
            ({ finishedAt, cachedTokens }) => `${finishedAt.toFixed(4)} ${String(cachedTokens)}`,
          );
        };
        assert.deepEqual(run('change'), run('step'));
      }),
      { numRuns: 200 },
    );
  });
});
