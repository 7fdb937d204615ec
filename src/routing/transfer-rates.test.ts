import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { TransferRates } from './transfer-rates.ts';

const PRIOR = 131_072 / 12.5e9;

function near(actual: number, expected: number): void {
  assert.ok(Math.abs(actual / expected - 1) < 0.02, `${actual} is not about ${expected}`);
}

function learn(rates: TransferRates, prefill: number, decode: number, perToken: number, times = 60): void {
  for (let i = 0; i < times; i++) rates.learn(prefill, decode, 8192, 8192 * perToken);
}

describe('transfer rates', () => {
  it('are the prior before anything is known, in rows as long as is asked', () => {
    const rates = new TransferRates();
    assert.equal(rates.secondsPerToken(3, 900), PRIOR);
    const row = rates.rowOf(3, 900);
    assert.ok(row.length >= 900 && row.every((seconds) => seconds === PRIOR));
  });

  it('are learnt for each pair; of the others the median is believed', () => {
    const rates = new TransferRates();
    learn(rates, 0, 1, 1e-4);
    learn(rates, 0, 2, 2e-4);
    learn(rates, 5, 1, 4e-4);
    near(rates.secondsPerToken(0, 1), 1e-4);
    near(rates.rowOf(5, 8)[1]!, 4e-4);
    near(rates.secondsPerToken(5, 2), 2e-4);
    near(rates.rowOf(9, 100)[99]!, 2e-4);
    near(rates.rowOf(0, 300)[299]!, 2e-4);
  });

  it('follow a change, one stall by itself not much', () => {
    const rates = new TransferRates();
    learn(rates, 0, 0, 1e-5);
    rates.learn(0, 0, 8192, 60);
    assert.ok(rates.secondsPerToken(0, 0) < 1.3e-5);
    learn(rates, 0, 0, 1e-4, 100);
    near(rates.secondsPerToken(0, 0), 1e-4);
  });

  it('do not go by what says nothing', () => {
    const rates = new TransferRates();
    rates.learn(0, 0, 16, 1);
    rates.learn(0, 0, 8192, 0);
    rates.learn(0, 0, NaN, 1);
    assert.equal(rates.secondsPerToken(0, 0), PRIOR);
  });

  it('are forgotten with either worker', () => {
    const rates = new TransferRates();
    learn(rates, 0, 1, 1e-4);
    learn(rates, 2, 3, 1e-3);
    rates.forget(1);
    rates.forget(2);
    for (const [prefill, decode] of [
      [0, 1],
      [2, 3],
    ] as const)
      assert.equal(rates.secondsPerToken(prefill, decode), rates.secondsPerToken(7, 8));
    learn(rates, 0, 1, 5e-5);
    near(rates.secondsPerToken(2, 3), 5e-5);
  });

  it('are kept of so many pairs at most, the others counting as typical', () => {
    const rates = new TransferRates();
    for (let prefill = 0; prefill < 20; prefill++) learn(rates, prefill, 4095, 1e-4);
    near(rates.secondsPerToken(0, 4095), 1e-4);
    const typical = rates.secondsPerToken(19, 4095);
    learn(rates, 19, 4095, 1e-3);
    assert.equal(rates.secondsPerToken(19, 4095), typical);
    rates.learn(0, 1_000_000, 8192, 1);
    assert.equal(rates.secondsPerToken(0, 1_000_000), typical);
  });
});
