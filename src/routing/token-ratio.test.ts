import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { PromptHasher } from './prompt-hash.ts';
import { ByteKinds } from './text-shape.ts';
import { TokenRatio, type ReadText } from './token-ratio.ts';

fc.configureGlobal({ seed: 7 });

/** So many bytes of what nothing is known of. */
function plain(bytes: number): ReadText {
  return { bytes, shape: new ByteKinds().shapeOf(bytes, 0) };
}

function read(text: string): ReadText {
  const hasher = new PromptHasher();
  hasher.role('user');
  hasher.text(text);
  return { bytes: hasher.textBytes, shape: hasher.shape() };
}

describe('TokenRatio', () => {
  it('starts at four characters per token', () => {
    assert.equal(new TokenRatio().charsPerToken('m'), 4);
  });

  it('learns each model for itself and forgets old answers', () => {
    const ratio = new TokenRatio();
    for (let i = 0; i < 200; i++) ratio.learn('dense', plain(1500), 1000);
    assert.ok(Math.abs(ratio.charsPerToken('dense') - 1.5) < 0.01);
    assert.equal(ratio.charsPerToken('other'), 4);
    for (let i = 0; i < 300; i++) ratio.learn('dense', plain(5000), 1000);
    assert.ok(Math.abs(ratio.charsPerToken('dense') - 5) < 0.05);
  });

  it('lets one short odd prompt change little', () => {
    const ratio = new TokenRatio();
    for (let i = 0; i < 20; i++) ratio.learn('m', plain(4000), 1000);
    ratio.learn('m', plain(5), 40);
    assert.ok(ratio.charsPerToken('m') > 3.9);
  });

  it('stays within sane bounds whatever workers report', () => {
    const odd = fc.oneof(fc.double(), fc.constantFrom(0, -1, NaN, Infinity, 1e300, 1e-300, Number.MAX_VALUE));
    fc.assert(
      fc.property(fc.array(fc.tuple(odd, odd), { maxLength: 30 }), (samples) => {
        const ratio = new TokenRatio();
        for (const [chars, tokens] of samples) ratio.learn('m', plain(chars), tokens);
        for (const learnt of [ratio.charsPerToken('m'), ratio.charsPerTokenOf('m', plain(1000))])
          assert.ok(learnt >= 0.5 && learnt <= 16, String(learnt));
      }),
    );
  });

  it('remembers a bounded number of models, the recently used ones', () => {
    const ratio = new TokenRatio();
    ratio.learn('kept', plain(100_000), 100_000);
    for (let i = 0; i < 5000; i++) {
      ratio.learn(`model-${i}`, plain(100_000), 100_000);
      ratio.charsPerToken('kept');
    }
    assert.ok(ratio.charsPerToken('kept') < 1.1);
    assert.equal(ratio.charsPerToken('model-0'), 4);
  });

  it('counts each script at its own rate, also where a prompt is of several', () => {
    const ratio = new TokenRatio();
    const english = 'The quick brown fox jumps over the lazy dog, and then some. ';
    const chinese = '人工智能正在改变世界的每一个角落，';
    const digits = '31415 92653 58979 32384 ';
    // A tokenizer that gives a Chinese character two tokens, a digit one, and English one for five bytes.
    const tokensOf = (parts: readonly (readonly [string, number])[]): number =>
      parts.reduce((sum, [text, times]) => {
        const each = text === chinese ? 2 * text.length : text === digits ? 21 : text.length / 5;
        return sum + times * each;
      }, 7);
    const promptOf = (parts: readonly (readonly [string, number])[]): string =>
      parts.map(([text, times]) => text.repeat(times)).join('');
    for (let turn = 1; turn < 40; turn++)
      for (const parts of [[[english, turn]], [[chinese, turn]], [[digits, turn]]] as const)
        ratio.learn('m', read(promptOf(parts)), Math.round(tokensOf(parts)));
    for (const parts of [
      [[english, 30]],
      [[chinese, 30]],
      [[digits, 30]],
      [
        [english, 10],
        [chinese, 10],
        [digits, 5],
      ],
    ] as const) {
      const text = read(promptOf(parts));
      const estimate = text.bytes / ratio.charsPerTokenOf('m', text);
      const error = Math.abs(estimate / tokensOf(parts) - 1);
      assert.ok(error < 0.08, `${promptOf(parts).slice(0, 20)}: ${estimate} of ${tokensOf(parts)}`);
    }
  });
});
