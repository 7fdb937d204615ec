import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { oracleHitRates } from '../fleet/oracle.ts';
import { GENERATORS, generateTrace, type GeneratorName } from './generators.ts';
import { resolutionMs, spreadArrivals } from './spread.ts';
import type { Trace } from './trace.ts';

const NAMES = Object.keys(GENERATORS) as GeneratorName[];
const ratePerSecond = (trace: Trace): number =>
  (trace.requests.length / (trace.requests.at(-1)?.at ?? NaN)) * 1000;

describe('made-up workloads', () => {
  for (const name of NAMES) {
    it(`${name} is the same for a seed, and another for another`, () => {
      const options = { requests: 300, ratePerSecond: 10 };
      const of = (seed: number): Trace => generateTrace(name, { ...options, seed });
      assert.deepEqual(of(1), of(1));
      assert.notDeepEqual(of(1).requests[5], of(2).requests[5]);
    });

    it(`${name} begins at 0, is in order and has as many requests as were asked for`, () => {
      const { requests, blockSize } = generateTrace(name, { requests: 777, ratePerSecond: 20, seed: 3 });
      assert.equal(requests.length, 777);
      assert.equal(requests[0]?.at, 0);
      for (const [place, { at, promptTokens, blocks, outputTokens }] of requests.entries()) {
        assert.ok(at >= (requests[place - 1]?.at ?? 0));
        assert.ok(Number.isInteger(promptTokens) && promptTokens > 0 && outputTokens > 0);
        assert.equal(blocks.count, Math.floor(promptTokens / blockSize));
        assert.equal(blocks.totalTokens, promptTokens);
      }
    });

    for (const rate of [10, 100]) {
      it(`${name} has ${rate} arrivals per second from beginning to end`, () => {
        // Bursts make one run vary; several together have the mean.
        const seeds = name === 'bursty_chats' ? [1, 2, 3, 4, 5, 6] : [1];
        const traces = seeds.map((seed) =>
          generateTrace(name, { requests: 3000, ratePerSecond: rate, seed }),
        );
        const rates = traces.map(ratePerSecond);
        const mean = rates.reduce((sum, one) => sum + one, 0) / rates.length;
        const tolerance = name === 'bursty_chats' ? 0.35 : 0.12;
        assert.ok(Math.abs(mean / rate - 1) < tolerance, `${mean} per second`);
        if (name === 'bursty_chats') return;
        const [first] = traces;
        const middle = first?.requests[1500]?.at ?? NaN;
        assert.ok(Math.abs((1500 / middle) * 1000 - rate) < 0.2 * rate, `${1_500_000 / middle} at first`);
      });
    }
  }

  it('come in bursts where they should', () => {
    // Variance over mean of the sessions that begin in two seconds: 1 for Poisson.
    const dispersion = (name: GeneratorName): number => {
      const { requests } = generateTrace(name, { requests: 5000, ratePerSecond: 50, seed: 1 });
      const begun = new Map<string | undefined, number>();
      for (const { session, at } of requests) if (!begun.has(session)) begun.set(session, at);
      const counts = new Array<number>(Math.ceil((requests.at(-1)?.at ?? 0) / 2000)).fill(0);
      for (const at of begun.values()) {
        const place = Math.floor(at / 2000);
        counts[place] = (counts[place] ?? 0) + 1;
      }
      // Sessions that were under way at the beginning show up in its first seconds.
      const later = counts.slice(10, -1);
      const mean = later.reduce((sum, count) => sum + count, 0) / later.length;
      return later.reduce((sum, count) => sum + (count - mean) ** 2, 0) / later.length / mean;
    };
    const [even, bursty] = [dispersion('poisson_chats'), dispersion('bursty_chats')];
    assert.ok(bursty > 2.5 * even, `${bursty} and ${even}`);
  });

  it('share what their kind shares', () => {
    const rate = (name: GeneratorName): number =>
      oracleHitRates(generateTrace(name, { requests: 3000, ratePerSecond: 10, seed: 1 }), 1e6).unlimited;
    // Groups behind 6,000 of about 7,200 tokens; histories that come again and again; chats with documents of their own.
    assert.ok(rate('shared_prefix') > 0.7 && rate('shared_prefix') < 6000 / 7000);
    assert.ok(rate('agents') > 0.85, String(rate('agents')));
    assert.ok(rate('poisson_chats') > 0.6 && rate('poisson_chats') < 0.85, String(rate('poisson_chats')));
  });

  it('grow by what was said: each turn of a session begins with the one before', () => {
    const { requests } = generateTrace('agents', { requests: 500, ratePerSecond: 10, seed: 1 });
    const last = new Map<string, (typeof requests)[number]>();
    let turns = 0;
    for (const request of requests) {
      const { session, blocks, promptTokens } = request;
      if (session === undefined) assert.fail('agents have sessions');
      const before = last.get(session);
      last.set(session, request);
      if (!before) continue;
      turns += 1;
      assert.ok(promptTokens >= before.promptTokens + before.outputTokens);
      assert.deepEqual(blocks.hashes.slice(0, 2 * before.blocks.count), before.blocks.hashes);
    }
    assert.ok(turns > 100);
  });
});

describe('arrivals of a rounded trace', () => {
  const { requests } = generateTrace('shared_prefix', { requests: 400, ratePerSecond: 5, seed: 1 });
  const rounded: Trace = {
    ...{ name: 'rounded', blockSize: 64 },
    requests: requests.map((request) => ({ ...request, at: 3000 * Math.floor(request.at / 3000) })),
  };

  it('are spread over the step, none is lost, and the seed decides', () => {
    assert.equal(resolutionMs(rounded), 3000);
    const spread = spreadArrivals(rounded, 1);
    assert.deepEqual(spread, spreadArrivals(rounded, 1));
    assert.notDeepEqual(spread, spreadArrivals(rounded, 2));
    assert.equal(new Set(spread.requests.map(({ at }) => at)).size, 400);
    const whole = (trace: Trace): number[] => trace.requests.map(({ promptTokens }) => promptTokens).sort();
    assert.deepEqual(whole(spread), whole(rounded));
    for (const [place, { at }] of spread.requests.entries()) {
      assert.ok(at >= (spread.requests[place - 1]?.at ?? 0));
      assert.ok(Math.abs(at - (rounded.requests[place]?.at ?? NaN)) < 6000);
    }
  });

  it('are left alone where the trace is not rounded', () => {
    const fine: Trace = { name: 'fine', requests, blockSize: 64 };
    assert.equal(spreadArrivals(fine, 1), fine);
    assert.equal(resolutionMs({ ...fine, requests: [] }), 0);
  });
});
