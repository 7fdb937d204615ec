import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { NO_BLOCKS } from '../../routing/blocks.ts';
import type { Trace } from '../traces/trace.ts';
import { interval } from './interval.ts';
import { LoadSampler } from './load-samples.ts';
import { Outcomes } from './outcomes.ts';
import type { RunResult } from './simulation.ts';
import { quantiles, summarise } from './summary.ts';

const near = (actual: number, expected: number, within = 1e-9): void => {
  assert.ok(Math.abs(actual - expected) <= within, `${actual} instead of ${expected}`);
};

describe('an interval', () => {
  it('is Student’s t times the standard error', () => {
    // Mean 3, variance 2.5, standard error 0.7071; t of 4 degrees of freedom is 2.776.
    const { mean, plusMinus } = interval([1, 2, 3, 4, 5]);
    assert.equal(mean, 3);
    near(plusMinus, 2.776 * Math.sqrt(0.5));
    near(interval([0, 2]).plusMinus, 12.706);
    near(interval(Array.from({ length: 31 }, (_, index) => index % 2)).plusMinus, 2.042 * 0.0911, 1e-3);
  });

  it('is not known from one run, and of no width where all are alike', () => {
    assert.deepEqual(interval([7]), { mean: 7, plusMinus: NaN });
    assert.deepEqual(interval([7, 7, 7]), { mean: 7, plusMinus: 0 });
  });
});

describe('quantiles', () => {
  it('are those of the nearest rank, of the numbers that are there', () => {
    const values = Float64Array.from({ length: 100 }, (_, index) => 100 - index);
    assert.deepEqual(quantiles(values), { p50: 50, p90: 90, p99: 99 });
    assert.deepEqual(quantiles(Float64Array.of(NaN, 4, NaN)), { p50: 4, p90: 4, p99: 4 });
    assert.deepEqual(quantiles(new Float64Array(0)), { p50: NaN, p90: NaN, p99: NaN });
  });
});

describe('a summary', () => {
  const outputs = [11, 11, 11, 0, 11];
  const requests = outputs.map((outputTokens, at) => ({
    ...{ at, promptTokens: 100, outputTokens, blocks: NO_BLOCKS, session: undefined },
  }));
  const trace: Trace = { name: '', requests, blockSize: 16 };
  const outcomes = new Outcomes(5);
  // Good; first token too late; further tokens too slow; nothing generated and late; cut after its first token.
  outcomes.ttftMs.set([100, 300, 100, NaN, 50]);
  outcomes.e2eMs.set([200, 400, 400, 250, NaN]);
  outcomes.cachedTokens.set([50, 0, 0, 30, 0]);
  outcomes.predictedTokens.set([40, NaN, 20, 30, 90]);
  const result: RunResult = {
    ...{ outcomes, durationMs: 2000, computedTokens: [300, 100], generatedTokens: [], preemptions: 3 },
    ...{ openLeases: 0, hasPairs: true, load: new LoadSampler(2, 1).samples() },
  };
  const summary = summarise(trace, result, { ttftMs: 200, tpotMs: 20 });

  it('counts what kept both objectives, by share and by second', () => {
    near(summary.goodShare, 1 / 5);
    near(summary.goodput, 0.5);
    near(summary.rejectedShare, 1 / 5);
    const patient = summarise(trace, result, { ttftMs: 300, tpotMs: 30 });
    near(patient.goodShare, 4 / 5);
  });

  it('counts what was split, where anything could be', () => {
    outcomes.prefill.set([0, -1, 2, -1, -1]);
    const split = summarise(trace, result, { ttftMs: 200, tpotMs: 20 }).splitShare;
    near(split, 2 / 5);
    const never = summarise(trace, { ...result, hasPairs: false }, { ttftMs: 200, tpotMs: 20 });
    assert.ok(Number.isNaN(never.splitShare));
  });

  it('says how much was cached, how well that was foreseen and how even the work was', () => {
    near(summary.hitRate, 80 / 500);
    near(summary.hitPredictionError, (0.1 + 0.2 + 0) / 3);
    near(summary.busiestToMean, 1.5);
    near(summary.gini, 0.25);
    assert.equal(summary.preemptions, 3);
    near(summary.tpotMs.p90, 30);
  });
});

describe('samples of the load', () => {
  it('are one row per moment', () => {
    const sampler = new LoadSampler(2, 2000);
    assert.equal(sampler.intervalMs, 10);
    sampler.take((worker) => worker + 1);
    sampler.take(() => 70_000);
    assert.deepEqual(sampler.samples(), {
      ...{ workers: 2, intervalMs: 10, count: 2 },
      requests: Uint16Array.of(1, 2, 65535, 65535),
    });
  });

  it('are bounded however long a run takes, and stay where they were in time', () => {
    const sampler = new LoadSampler(1, 200);
    let now = 0;
    for (let moment = 0; moment < 3000; moment += 1) {
      now += sampler.intervalMs;
      sampler.take(() => Math.min(now, 65535));
    }
    const { intervalMs, count, requests } = sampler.samples();
    assert.ok(count >= 200 && count <= 400, `${count} moments`);
    assert.ok(Math.abs(count * intervalMs - now) < intervalMs);
    for (const [index, value] of requests.entries())
      assert.equal(value, Math.min((index + 1) * intervalMs, 65535));
  });
});
