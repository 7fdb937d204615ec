import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { VirtualClock } from '../../base/virtual-clock.ts';
import { MODEL_DEFAULTS, type ModelSettings } from './model-settings.ts';
import { WorkerModel, type Waking } from './worker-model.ts';

interface Visit {
  readonly gapMs: number;
  readonly prompt: number;
  readonly output: number;
  readonly prefix: number;
  /** ms after its arrival; absent = never. */
  readonly abortAfterMs: number | undefined;
}

const visit = fc.record({
  gapMs: fc.nat(400),
  prompt: fc.integer({ min: 1, max: 3000 }),
  output: fc.integer({ min: 0, max: 200 }),
  prefix: fc.nat(3),
  abortAfterMs: fc.option(fc.integer({ min: 0, max: 2000 }), { nil: undefined, freq: 4 }),
});

/** Chains of made-up block hashes; visits with one prefix share their first half. */
function hashesOf({ prefix, prompt }: Visit, index: number, blockSize: number): Uint32Array {
  const count = Math.floor(prompt / blockSize);
  const hashes = new Uint32Array(2 * count);
  for (let i = 0; i < count; i++) {
    hashes[2 * i] = i < count / 2 ? 1000 * prefix + i : 1_000_000 * (index + 1) + i;
    hashes[2 * i + 1] = prefix;
  }
  return hashes;
}

function run(visits: readonly Visit[], settings: ModelSettings, waking: Waking): string[] {
  const clock = new VirtualClock();
  const model = new WorkerModel(settings, clock, waking);
  const lines: string[] = [];
  let at = 0;
  for (const [index, one] of visits.entries()) {
    // No two things at one instant: their order would be chance.
    const apart = (index + 1) / 97;
    at += one.gapMs + apart;
    clock.after(at, () => {
      let firstAt = NaN;
      const sequence = model.submit({
        promptTokens: one.prompt,
        outputTokens: one.output,
        hashes: hashesOf(one, index, settings.blockSize),
        finishedReason: 'stop',
        onTokens: () => {
          if (Number.isNaN(firstAt)) firstAt = clock.now();
        },
        onDone: ({ finishedAt, cachedTokens, preemptions }) => {
          const times = [firstAt, finishedAt, clock.now()].map((time) => time.toFixed(4));
          lines.push(`${String(index)} ${times.join(' ')} ${String(cachedTokens)} ${String(preemptions)}`);
        },
      });
      if (one.abortAfterMs !== undefined)
        clock.after(one.abortAfterMs + apart / 5, () => model.abort(sequence));
    });
  }
  while (clock.step());
  assert.equal(model.cache.used, 0);
  return lines.sort();
}

test('a model that wakes at changes only does everything at the same moments as one that wakes at every step', () => {
  const small: ModelSettings = { ...MODEL_DEFAULTS, blocks: 512, maxModelLen: 4096, maxRunning: 8 };
  fc.assert(
    fc.property(fc.array(visit, { minLength: 1, maxLength: 25 }), fc.boolean(), (visits, tight) => {
      const settings = tight ? small : MODEL_DEFAULTS;
      assert.deepEqual(run(visits, settings, 'change'), run(visits, settings, 'step'));
    }),
    { numRuns: 150 },
  );
});

test('and with far fewer timers', () => {
  const timers = (waking: Waking): number => {
    const clock = new VirtualClock();
    const model = new WorkerModel(MODEL_DEFAULTS, clock, waking);
    const ask = { promptTokens: 100, outputTokens: 500, hashes: new Uint32Array(0) };
    model.submit({ ...ask, finishedReason: 'stop', onDone: () => undefined });
    let count = 0;
    while (clock.step()) count += 1;
    return count;
  };
  assert.ok(timers('step') > 500);
  assert.ok(timers('change') < 10, String(timers('change')));
});
