import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { inTokens, tokensIn, wholeBlocks, type PromptBlocks } from './blocks.ts';

/** Ten blocks and a half of text. */
const TEXT: PromptBlocks = {
  count: 10,
  hashes: new Uint32Array(20),
  tokensPerBlock: 16,
  totalTokens: 168,
  estimated: true,
};

describe('tokens of the first blocks of a prompt', () => {
  it('are none where none is held, and never more than there are', () => {
    assert.equal(tokensIn(TEXT, 0), 0);
    assert.equal(tokensIn({ ...TEXT, totalTokens: 150 }, 10), 150);
  });

  it('count half of the next block where the text is another one from there on', () => {
    assert.deepEqual([tokensIn(TEXT, 1), tokensIn(TEXT, 9), tokensIn(TEXT, 10)], [24, 152, 160]);
    assert.equal(tokensIn({ ...TEXT, estimated: false }, 9), 144);
  });

  it('are as many as an earlier prompt had that ended there', () => {
    const known = { ...TEXT, beginning: { at: 4.5, tokens: 90, perBlock: 13 } };
    assert.equal(tokensIn(known, 4), 90);
    assert.equal(tokensIn(known, 2), 40);
    assert.equal(tokensIn(known, 10), 90 + Math.floor(13 * 5.5));
    // 30 tokens are left in place of 78.
    assert.equal(tokensIn(inTokens(known, 120), 10), 90 + Math.floor(5 * 5.5));
  });
});

describe('what an engine finds of a prompt', () => {
  it('is whole blocks, and not the last token', () => {
    assert.deepEqual(
      [wholeBlocks(239, 298, 32), wholeBlocks(96, 96, 32), wholeBlocks(97, 97, 32), wholeBlocks(31, 500, 32)],
      [224, 64, 96, 0],
    );
    assert.equal(wholeBlocks(0, 0, 16), 0);
  });
});
