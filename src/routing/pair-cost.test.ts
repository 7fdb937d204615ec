import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { columnsOf, type MemberLoad } from '../../test/support/pool-columns.ts';
import { PairCost, pairSeconds, type PairPools } from './pair-cost.ts';
import { TransferRates } from './transfer-rates.ts';

fc.configureGlobal({ seed: 7 });

const ask = { promptTokens: 4000, answerTokens: 100, theta: 0.3 };
const PER_TOKEN = 131_072 / 12.5e9;

const PAIRS = [
  [0, 0],
  [0, 1],
  [1, 0],
  [1, 1],
] as const;

function pools(prefill: readonly MemberLoad[], decode: readonly MemberLoad[], rest = {}): PairPools {
  const transfers = new TransferRates();
  return { prefill: columnsOf(...prefill), decode: columnsOf(...decode), transfers, ...rest };
}

function chosen(pair: PairPools): readonly [prefill: number, decode: number] | undefined {
  const choice = new PairCost().choosePair(ask, pair);
  return choice && [choice.prefill, choice.decode];
}

describe('the cost of a pair', () => {
  it('is wait and prefill at P, what D lacks over the link, what D computes before it, and the batch', () => {
    const pair = pools(
      [{ prefillTokens: 3000, prefillRate: 10_000, running: 2, saved: 1000 }],
      [{ prefillTokens: 800, running: 5, saved: 2500 }],
    );
    const choice = new PairCost().choosePair(ask, pair);
    assert.deepEqual(choice?.parts, {
      prefill: (3000 + 3000) / 10_000,
      stall: (0.3 * 2 * 3000) / 10_000,
      transfer: 1500 * PER_TOKEN,
      wait: 801 / 8000,
      room: (1500 * (1 + 0.3 * 5)) / 8000,
      batch: (0.3 * 2 * 100 * 5 * 3) / 8000,
      overflow: 0,
    });
    const sum = Object.values(choice.parts).reduce((total, part) => total + part, 0);
    assert.ok(Math.abs(choice.seconds - sum) < 1e-12);
  });

  it('counts KV cache that there is no room for, at either', () => {
    const pair = pools([{ kvTokens: 9000, kvCapacity: 12_000 }], [{ kvTokens: 7900, kvCapacity: 10_000 }]);
    assert.equal(pairSeconds(ask, pair, 0, 0).parts.overflow, (1000 + 2000) / 8000);
  });

  it('counts of it no more than the request itself needs, what is there left out: the rest is the others’', () => {
    const pair = pools([{}], [{ kvTokens: 90_000, kvCapacity: 10_000, saved: 3900 }]);
    assert.equal(pairSeconds(ask, pair, 0, 0).parts.overflow, (100 + 100) / 8000);
  });
});

describe('choosing a pair', () => {
  it('takes each half for its own reasons where the links are alike', () => {
    const warm = [{ prefillTokens: 500 }, { saved: 3000 }, { prefillTokens: 9000, saved: 3900 }];
    const free = [{ running: 30 }, { running: 3 }, { running: 9 }];
    assert.deepEqual(chosen(pools(warm, free)), [1, 1]);
  });

  it('takes halves that are worse by themselves where the link between the better ones is slow', () => {
    const transfers = new TransferRates();
    const slow = (p: number, d: number): void => {
      for (let i = 0; i < 40; i++) transfers.learn(p, d, 4000, 4000 * 20 * PER_TOKEN);
    };
    for (const [p, d] of PAIRS) transfers.learn(p, d, 4000, 4000 * PER_TOKEN);
    const pair = pools([{}, { prefillTokens: 1000 }], [{}, { prefillTokens: 500 }], { transfers });
    assert.deepEqual(chosen(pair), [0, 0]);
    slow(0, 0);
    assert.deepEqual(chosen(pair), [0, 1]);
    slow(0, 1);
    assert.deepEqual(chosen(pair), [1, 0]);
  });

  it('keeps a prompt where its beginning is, unless that one is much busier', () => {
    assert.deepEqual(chosen(pools([{}], [{ running: 1 }, { running: 6, saved: 3900 }])), [0, 1]);
    assert.deepEqual(chosen(pools([{}], [{ running: 1 }, { running: 60, saved: 3900 }])), [0, 0]);
  });

  it('leaves out who may not be chosen, and pairs that cannot hand over', () => {
    assert.deepEqual(
      chosen(pools([{ saved: NaN }, { prefillTokens: 50_000 }], [{ saved: NaN }, {}])),
      [1, 1],
    );
    assert.equal(chosen(pools([{ saved: NaN }], [{}])), undefined);
    assert.equal(chosen(pools([], [{}])), undefined);
    const may = (prefill: number, decode: number): boolean => prefill === 1 && decode === 0;
    assert.deepEqual(chosen(pools([{}, { prefillTokens: 9000 }], [{ running: 50 }, {}], { may })), [1, 0]);
    assert.equal(chosen(pools([{}], [{}], { may: () => false })), undefined);
  });

  it('keeps the half that a policy has chosen', () => {
    const loads = [{}, { prefillTokens: 20_000 }];
    assert.deepEqual(chosen(pools(loads, loads, { chosen: { prefill: 1 } })), [1, 0]);
    assert.deepEqual(chosen(pools(loads, loads, { chosen: { decode: 1 } })), [0, 1]);
    assert.deepEqual(chosen(pools(loads, loads, { chosen: { prefill: 1, decode: 1 } })), [1, 1]);
  });

  it('gives ties to who was given a cold prompt longest ago', () => {
    const turns = { prefillTurns: Float64Array.of(7, 5, 6), decodeTurns: Float64Array.of(3, 2, 1) };
    const pair = pools([{}, { prefillRate: 7900 }, {}], [{}, {}, { running: 40 }], turns);
    assert.deepEqual(chosen(pair), [1, 1]);
  });

  it('scores all of a stage', () => {
    const choice = new PairCost().choosePair(ask, pools([{}, { saved: NaN }], [{ saved: NaN }, {}]));
    assert.ok(choice);
    const [chosenP, maskedP] = choice.prefillScores;
    const [maskedD, chosenD] = choice.decodeScores;
    assert.deepEqual([maskedP, maskedD], [NaN, NaN]);
    for (const score of [chosenP, chosenD]) assert.ok(Math.abs(choice.seconds - (score ?? NaN)) < 1e-12);
  });

  it('finds the pair that costs least of all', () => {
    const load = fc.record({
      prefillTokens: fc.nat(20_000),
      prefillRate: fc.integer({ min: 2000, max: 20_000 }),
      running: fc.nat(60),
      saved: fc.oneof(fc.nat(4000), fc.constant(NaN)),
      kvTokens: fc.nat(9000),
      kvCapacity: fc.constantFrom(8000, Infinity),
    });
    const loads = fc.array(load, { maxLength: 6 });
    fc.assert(
      fc.property(loads, loads, (prefill, decode) => {
        const pair = pools(prefill, decode);
        const all = prefill.flatMap(({ saved }, p) =>
          decode
            .filter((other) => !Number.isNaN(saved) && !Number.isNaN(other.saved))
            .map((other) => pairSeconds(ask, pair, p, decode.indexOf(other)).seconds),
        );
        const seconds = new PairCost().choosePair(ask, pair)?.seconds ?? Infinity;
        assert.ok(all.every((one) => seconds <= one + 1e-9));
        assert.equal(seconds === Infinity, all.length === 0);
      }),
    );
  });
});
