import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { blockHashes, detokenize, TokenBuffer, tokenize } from './tokens.ts';

const anyText = fc.string({
  unit: fc.oneof(fc.string({ minLength: 1, maxLength: 5 }), fc.string({ unit: 'binary', maxLength: 3 })),
});

describe('tokens', () => {
  it('turn back into the very text, lone surrogates included', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        assert.equal(detokenize(tokenize(text)), text);
      }),
      { seed: 1 },
    );
    assert.equal(detokenize(tokenize('a\ud800b')), 'a\ud800b');
  });

  it('are 31-bit ids, about four characters each', () => {
    const ids = tokenize('The quick brown fox jumps over 你好 👩‍🚀 \u{10ffff}');
    for (const id of ids) assert.ok(id > 0 && id < 2 ** 31, String(id));
    assert.equal(tokenize('x'.repeat(401)).length, 101);
  });

  it('keep their ids in a buffer that grew or was used before', () => {
    const buffer = new TokenBuffer();
    buffer.text('y'.repeat(10_000));
    buffer.clear();
    buffer.special(3);
    buffer.text('hello there');
    assert.deepEqual(Array.from(buffer.ids), [3, ...tokenize('hello there')]);
  });
});

describe('block hashes', () => {
  const ids = fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 100 });

  it('are equal exactly as far as the tokens are', () => {
    fc.assert(
      fc.property(ids, ids, fc.integer({ min: 1, max: 16 }), (a, b, blockSize) => {
        const left = blockHashes(a, blockSize, 0);
        const right = blockHashes(b, blockSize, 0);
        assert.equal(left.length, Math.floor(a.length / blockSize) * 2);
        for (let i = 0; i < Math.min(left.length, right.length) / 2; i++) {
          const end = (i + 1) * blockSize;
          const same = a.slice(0, end).join() === b.slice(0, end).join();
          const equal = left[2 * i] === right[2 * i] && left[2 * i + 1] === right[2 * i + 1];
          assert.equal(equal, same);
        }
      }),
      { seed: 1 },
    );
  });

  it('differ with the salt', () => {
    const tokens = tokenize('x'.repeat(64));
    assert.notDeepEqual(blockHashes(tokens, 16, 1), blockHashes(tokens, 16, 2));
  });
});
