import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { seededRandom, type Random } from '../../base/random.ts';
import { FirstTokenModel, type FirstTokenSample } from './first-token-model.ts';

/** A worker whose first tokens follow the model exactly, ms; `noise` is a share of the time. */
interface Truth {
  readonly tokensPerSec: number;
  readonly secsPerSquare: number;
  readonly secsPerRunning: number;
  readonly noise?: number;
}

function draw(random: Random): FirstTokenSample {
  const tokens = 500 + 30_000 * random();
  return { tokens, tokensTimesLength: tokens * (2000 + 60_000 * random()), running: 80 * random() };
}

function ttftMs(truth: Truth, sample: FirstTokenSample, random: Random): number {
  const secs =
    sample.tokens / truth.tokensPerSec +
    truth.secsPerSquare * sample.tokensTimesLength +
    truth.secsPerRunning * sample.running;
  return 1000 * secs * (1 + (truth.noise ?? 0) * (2 * random() - 1));
}

function teach(model: FirstTokenModel, slot: number, truth: Truth, samples: number, seed = 1): void {
  const random = seededRandom(seed);
  for (let count = 0; count < samples; count += 1) {
    const sample = draw(random);
    model.learn(slot, sample, ttftMs(truth, sample, random));
  }
}

/** Mean error of predictions for samples it has not seen, as a share of the truth. */
function errorOf(model: FirstTokenModel, slot: number, truth: Truth): number {
  const random = seededRandom(99);
  let sum = 0;
  for (let count = 0; count < 200; count += 1) {
    const sample = draw(random);
    const real = ttftMs({ ...truth, noise: 0 }, sample, random) / 1000;
    sum += Math.abs(model.predictSecs(slot, sample) - real) / real;
  }
  return sum / 200;
}

const USUAL: Truth = { tokensPerSec: 8000, secsPerSquare: 5e-10, secsPerRunning: 0.004 };

describe('FirstTokenModel', () => {
  it('assumes 8,000 tokens per second before it knows anything', () => {
    const sample = { tokens: 16_000, tokensTimesLength: 1e9, running: 50 };
    assert.equal(new FirstTokenModel().predictSecs(3, sample), 2);
  });

  it('finds a linear worker within tens of samples', () => {
    const model = new FirstTokenModel();
    teach(model, 0, USUAL, 40);
    assert.ok(errorOf(model, 0, USUAL) < 0.03, String(errorOf(model, 0, USUAL)));
    assert.ok(Math.abs(1 / model.secsPerToken(0) / 8000 - 1) < 0.05);
  });

  it('finds it through noise of a fifth', () => {
    const model = new FirstTokenModel();
    teach(model, 0, { ...USUAL, noise: 0.2 }, 150);
    assert.ok(errorOf(model, 0, USUAL) < 0.08, String(errorOf(model, 0, USUAL)));
  });

  it('keeps workers apart, and judges one it does not know by the median of the others', () => {
    const model = new FirstTokenModel();
    const speeds = [2000, 8000, 16_000];
    for (const [slot, tokensPerSec] of speeds.entries()) teach(model, slot, { ...USUAL, tokensPerSec }, 100);
    for (const [slot, tokensPerSec] of speeds.entries())
      assert.ok(errorOf(model, slot, { ...USUAL, tokensPerSec }) < 0.1);
    assert.ok(errorOf(model, 7, USUAL) < 0.05);
    model.forget(0);
    assert.ok(errorOf(model, 0, USUAL) < 0.05);
  });

  it('is moved by one outlier only as far as twice what it expected', () => {
    const model = new FirstTokenModel();
    teach(model, 0, USUAL, 60);
    const sample = draw(seededRandom(5));
    model.learn(0, sample, 600_000);
    assert.ok(errorOf(model, 0, USUAL) < 0.15, String(errorOf(model, 0, USUAL)));
    teach(model, 0, USUAL, 120, 2);
    assert.ok(errorOf(model, 0, USUAL) < 0.05, String(errorOf(model, 0, USUAL)));
  });

  it('follows a worker that becomes slower', () => {
    const model = new FirstTokenModel();
    teach(model, 0, USUAL, 200);
    const slower = { ...USUAL, tokensPerSec: 4000 };
    teach(model, 0, slower, 200, 2);
    assert.ok(errorOf(model, 0, slower) < 0.1, String(errorOf(model, 0, slower)));
  });

  it('stays finite and within bounds whatever comes, the same sample for ever included', () => {
    const model = new FirstTokenModel();
    const random = seededRandom(3);
    const same = { tokens: 1000, tokensTimesLength: 1e6, running: 1 };
    for (let count = 0; count < 80_000; count += 1) model.learn(0, same, 125);
    for (let count = 0; count < 20_000; count += 1) model.learn(0, draw(random), 1e6 * random() ** 8);
    for (const bad of [NaN, -1, Infinity]) model.learn(0, same, bad);
    model.learn(0, { ...same, tokens: NaN }, 100);
    const secs = model.predictSecs(0, same);
    assert.ok(secs >= 0 && Number.isFinite(secs), String(secs));
    assert.ok(model.secsPerToken(0) >= 0.05 / 8000 && model.secsPerToken(0) <= 20 / 8000);
  });
});
