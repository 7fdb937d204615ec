import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { seededRandom, randomInt } from '../../base/random.ts';
import { VirtualClock } from '../../base/virtual-clock.ts';
import { blockHashes } from './tokens.ts';
import { MODEL_DEFAULTS, type ModelSettings } from './model-settings.ts';
import type { Sequence } from './sequence.ts';
import { WorkerModel } from './worker-model.ts';

/** `length` token ids that share a prefix exactly when the topic is the same. */
function ids(topic: number, length: number): number[] {
  return Array.from({ length }, (_, i) => topic * 1_000_003 + i);
}

function setUp(settings: Partial<ModelSettings> = {}) {
  const clock = new VirtualClock();
  const model = new WorkerModel({ ...MODEL_DEFAULTS, maxModelLen: 32768, ...settings }, clock);
  const done: Sequence[] = [];
  const submit = (
    topic: number,
    promptTokens: number,
    outputTokens: number,
    onTokens?: (count: number) => void,
  ) =>
    model.submit({
      promptTokens,
      outputTokens,
      hashes: blockHashes(ids(topic, promptTokens + outputTokens), model.settings.blockSize, 0),
      finishedReason: 'length',
      ...(onTokens && { onTokens }),
      onDone: (sequence) => done.push(sequence),
    });
  return { clock, model, done, submit };
}

function near(actual: number, expected: number): void {
  assert.ok(Math.abs(actual - expected) < 1e-6, `${String(actual)} is not ${String(expected)}`);
}

describe('worker model', () => {
  it('caches every full block of a prompt, wherever its chunks end', () => {
    for (const promptTokens of [31, 32, 33, 47, 48, 49, 64, 65]) {
      const { clock, model } = setUp({ stepTokens: 32 });
      const hashes = blockHashes(ids(1, promptTokens), 16, 0);
      const ask = { promptTokens, outputTokens: 3, hashes, finishedReason: 'length' as const };
      model.submit({ ...ask, onDone: () => undefined });
      clock.advance(1000);
      assert.equal(model.cache.match(hashes, 100), Math.floor(promptTokens / 16), `${promptTokens} tokens`);
    }
  });

  it('prefills at 8,000 tokens a second in chunks of 2,048 and decodes at 6 ms + 0.35 ms', () => {
    const { clock, submit } = setUp();
    const sequence = submit(1, 4000, 3);
    clock.advance(499);
    assert.equal(sequence.generated, 0);
    clock.advance(10_000);
    near(sequence.firstTokenAt, 500);
    near(sequence.finishedAt, 500 + 2 * 6.35);
  });

  it('makes a decode wait for the prefill chunk that shares its step', () => {
    const { clock, submit } = setUp();
    const first = submit(1, 80, 3);
    clock.advance(10);
    submit(2, 2000, 1);
    clock.advance(1000);
    near(first.firstTokenAt, 10);
    near(first.finishedAt, 10 + (2000 / 8000) * 1000 + 6.35 + 6.35);
  });

  it('slows every decode by each further running request', () => {
    const { clock, submit } = setUp({ prefillTokensPerSecond: Infinity });
    const all = Array.from({ length: 10 }, (_, i) => submit(i, 16, 2));
    clock.advance(1000);
    for (const sequence of all) near(sequence.finishedAt, 6 + 10 * 0.35);
  });

  it('reuses a cached prefix, all but the last token, and says so', () => {
    const { clock, model, submit } = setUp();
    submit(1, 320, 1);
    clock.advance(1000);
    const again = submit(1, 320, 1);
    clock.advance(1000);
    assert.equal(again.cachedTokens, 304);
    near(again.finishedAt - again.arrivedAt, 2);
    assert.equal(model.stats.prefixCacheQueries, 640);
    assert.equal(model.stats.prefixCacheHits, 304);
  });

  it('reuses generated blocks in the next turn of a conversation', () => {
    const { clock, submit } = setUp();
    submit(1, 32, 64);
    clock.advance(10_000);
    const next = submit(1, 128, 1);
    clock.advance(1000);
    // 96 tokens were there; the last generated one was never computed, so its block is not full.
    assert.equal(next.cachedTokens, 80);
  });

  it('evicts the least recently used prefix, its tail first', () => {
    const { clock, submit } = setUp({ blocks: 64, maxModelLen: 1024 });
    for (const topic of [1, 2]) {
      submit(topic, 512, 1);
      clock.advance(1000);
    }
    const touched = submit(1, 512, 1);
    clock.advance(1000);
    assert.equal(touched.cachedTokens, 496);
    submit(3, 256, 1);
    clock.advance(1000);
    const second = submit(2, 512, 1);
    clock.advance(1000);
    assert.equal(second.cachedTokens, 256);
  });

  it('preempts the youngest when blocks run out, and everybody finishes in the end', () => {
    const { clock, model, done, submit } = setUp({ blocks: 16, maxModelLen: 256 });
    const old = submit(1, 64, 100);
    const young = submit(2, 64, 100);
    clock.advance(60_000);
    assert.equal(done.length, 2);
    assert.equal(old.preemptions, 0);
    assert.ok(young.preemptions > 0);
    assert.equal(model.stats.preemptions, young.preemptions);
    assert.equal(model.stats.generationTokens, 200);
    assert.equal(model.stats.promptTokens, 128);
    assert.equal(model.cache.used, 0);
  });

  it('keeps at most 256 in the batch and the rest in order', () => {
    const { clock, model, done, submit } = setUp();
    const all = Array.from({ length: 300 }, (_, i) => submit(i, 1, 2));
    clock.advance(1);
    assert.equal(model.running, 256);
    assert.equal(model.waiting, 44);
    clock.advance(10_000);
    assert.deepEqual(done, all);
  });

  it('frees everything of an aborted request at once, waiting or running', () => {
    const { clock, model, done, submit } = setUp({ maxRunning: 1 });
    const running = submit(1, 100, 50);
    const waiting = submit(2, 100, 50);
    const stays = submit(3, 100, 5);
    clock.advance(20);
    assert.ok(model.cache.used > 0);
    assert.equal(model.abort(waiting), true);
    assert.equal(model.abort(running), true);
    assert.equal(model.abort(running), false);
    assert.equal(model.cache.used, 0);
    assert.equal(model.waiting, 1);
    clock.advance(10_000);
    assert.deepEqual(done, [stays]);
    assert.equal(model.stats.finished.abort, 2);
  });

  it('finishes prefill-only work with the prompt', () => {
    const { clock, done, submit } = setUp();
    const sequence = submit(1, 800, 0);
    clock.advance(1000);
    assert.deepEqual(done, [sequence]);
    near(sequence.finishedAt, 100);
  });

  it('tells streams every token, each step on its own, even when steps take no time', () => {
    const { clock, submit, done } = setUp({ timeScale: 0 });
    const told: number[] = [];
    submit(1, 5000, 7, (count) => told.push(count));
    submit(2, 10, 100);
    clock.advance(0);
    assert.deepEqual(told, [1, 1, 1, 1, 1, 1, 1]);
    assert.equal(done.length, 2);
    assert.equal(clock.now(), 0);
    assert.equal(clock.pending, 0);
  });

  it('does nothing while paused and goes on afterwards', () => {
    const { clock, model, done, submit } = setUp();
    model.pause();
    submit(1, 10, 5);
    clock.advance(1000);
    assert.equal(done.length, 0);
    model.resume();
    clock.advance(1000);
    assert.equal(done.length, 1);
  });

  it('refuses what could never run', () => {
    const { submit } = setUp({ maxModelLen: 100 });
    assert.throws(() => submit(1, 90, 11), RangeError);
    assert.throws(() => submit(1, 0, 1), RangeError);
    assert.throws(() => setUp({ blocks: 10, maxModelLen: 161 }), RangeError);
  });

  it('loses no request and no token, never exceeds its blocks, and repeats itself exactly', () => {
    const run = (seed: number) => {
      const random = seededRandom(seed);
      const blocks = 20 + randomInt(random, 40);
      const { clock, model, done, submit } = setUp({
        blocks,
        maxModelLen: 320,
        maxRunning: 6,
        stepTokens: 64,
      });
      const told = new Map<number, number>();
      const sequences: Sequence[] = [];
      for (let i = 0; i < 60; i++) {
        const listen =
          random() < 0.5 ? (count: number) => told.set(i, (told.get(i) ?? 0) + count) : undefined;
        sequences.push(
          submit(randomInt(random, 8), 1 + randomInt(random, 200), randomInt(random, 100), listen),
        );
        clock.advance(random() * 20);
        const victim = sequences[randomInt(random, sequences.length)];
        if (victim && random() < 0.15) model.abort(victim);
        assert.ok(model.running <= 6);
        assert.ok(model.cache.used <= blocks);
      }
      clock.advance(1e6);
      assert.equal(model.cache.used, 0);
      assert.equal(model.running + model.waiting, 0);
      const aborted = sequences.filter((sequence) => sequence.state === 'aborted').length;
      assert.equal(done.length + aborted, sequences.length);
      assert.equal(model.stats.finished.abort, aborted);
      for (const [i, sequence] of sequences.entries()) {
        if (sequence.state !== 'done') continue;
        assert.equal(sequence.generated, sequence.ask.outputTokens);
        if (sequence.ask.onTokens) assert.equal(told.get(i) ?? 0, sequence.ask.outputTokens);
      }
      return sequences.map((sequence) => [
        sequence.state,
        sequence.firstTokenAt,
        sequence.finishedAt,
        sequence.cachedTokens,
      ]);
    };
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        assert.deepEqual(run(seed), run(seed));
      }),
      { numRuns: 30, seed: 1 },
    );
  });
});
