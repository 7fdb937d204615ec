import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { TokenRatio } from './token-ratio.ts';

fc.configureGlobal({ seed: 7 });

describe('TokenRatio', () => {
  it('starts at four characters per token', () => {
    assert.equal(new TokenRatio().charsPerToken('m'), 4);
  });

  it('learns each model for itself and forgets old answers', () => {
    const ratio = new TokenRatio();
    for (let i = 0; i < 200; i++) ratio.learn('dense', 1500, 1000);
    assert.ok(Math.abs(ratio.charsPerToken('dense') - 1.5) < 0.01);
    assert.equal(ratio.charsPerToken('other'), 4);
    for (let i = 0; i < 300; i++) ratio.learn('dense', 5000, 1000);
    assert.ok(Math.abs(ratio.charsPerToken('dense') - 5) < 0.05);
  });

  it('lets one short odd prompt change little', () => {
    const ratio = new TokenRatio();
    for (let i = 0; i < 20; i++) ratio.learn('m', 4000, 1000);
    ratio.learn('m', 5, 40);
    assert.ok(ratio.charsPerToken('m') > 3.9);
  });

  it('stays within sane bounds whatever workers report', () => {
    const odd = fc.oneof(fc.double(), fc.constantFrom(0, -1, NaN, Infinity, 1e300, 1e-300, Number.MAX_VALUE));
    fc.assert(
      fc.property(fc.array(fc.tuple(odd, odd), { maxLength: 30 }), (samples) => {
        const ratio = new TokenRatio();
        for (const [chars, tokens] of samples) ratio.learn('m', chars, tokens);
        const learnt = ratio.charsPerToken('m');
        assert.ok(learnt >= 0.5 && learnt <= 16, String(learnt));
      }),
    );
  });

  it('remembers a bounded number of models, the recently used ones', () => {
    const ratio = new TokenRatio();
    ratio.learn('kept', 100_000, 100_000);
    for (let i = 0; i < 5000; i++) {
      ratio.learn(`model-${i}`, 100_000, 100_000);
      ratio.charsPerToken('kept');
    }
    assert.ok(ratio.charsPerToken('kept') < 1.1);
    assert.equal(ratio.charsPerToken('model-0'), 4);
  });
});
