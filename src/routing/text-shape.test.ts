import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ByteKinds, SHAPE } from './text-shape.ts';
import { PromptHasher } from './prompt-hash.ts';

function shapeOf(text: string): Float64Array {
  const hasher = new PromptHasher();
  hasher.role('user');
  hasher.text(text);
  return hasher.shape();
}

/** The share of each kind among the bytes of the text. */
function sharesOf(text: string): Record<string, number> {
  const shape = shapeOf(text);
  const bytes = shape.subarray(0, SHAPE.frames).reduce((sum, kind) => sum + kind, 0);
  return Object.fromEntries(
    Object.entries(SHAPE)
      .filter(([, part]) => part < SHAPE.frames)
      .map(([name, part]) => [name, Math.round((100 * shape[part]!) / bytes)]),
  );
}

const NONE = { letters: 0, digits: 0, others: 0, twoBytes: 0, threeBytes: 0, fourBytes: 0 };

describe('what a text is made of', () => {
  it('is seen in its bytes, of whatever script', () => {
    // Parts of seven and nine bytes, so that no kind falls into the same place of every word.
    assert.deepEqual(sharesOf('letters'.repeat(400)), { ...NONE, letters: 100 });
    assert.deepEqual(sharesOf('0123456'.repeat(400)), { ...NONE, digits: 100 });
    assert.deepEqual(sharesOf('. , - \n'.repeat(400)), { ...NONE, others: 100 });
    const [cyrillic, chinese, emoji] = ['жизнь'.repeat(400), '你好世界人'.repeat(400), '😀'.repeat(800)].map(
      sharesOf,
    );
    assert.ok(cyrillic!['twoBytes']! > 98, JSON.stringify(cyrillic));
    assert.ok(chinese!['threeBytes']! > 98, JSON.stringify(chinese));
    assert.ok(emoji!['fourBytes']! > 98, JSON.stringify(emoji));
  });

  it('is a share of each kind where there are several', () => {
    const { letters, digits, others, threeBytes } = sharesOf('word 你好 123 '.repeat(500));
    // 4 letters, 3 digits, 3 blanks, 6 bytes of Chinese.
    for (const [share, of16] of [
      [letters, 4],
      [digits, 3],
      [others, 3],
      [threeBytes, 6],
    ] as const)
      assert.ok(Math.abs(share! - (100 * of16) / 16) < 4, `${share} for ${of16} of 16`);
  });

  it('counts all of its bytes, message frames apart', () => {
    const shape = shapeOf('x'.repeat(10_000));
    const bytes = shape.subarray(0, SHAPE.frames).reduce((sum, kind) => sum + kind, 0);
    assert.ok(Math.abs(bytes - 10_004) < 1, String(bytes));
    assert.deepEqual([shape[SHAPE.frames], shape[SHAPE.prompts]], [1, 1]);
  });

  it('is taken for English where there is too little of it', () => {
    const shape = new ByteKinds().shapeOf(40, 1);
    assert.deepEqual(
      [SHAPE.letters, SHAPE.others].map((part) => Math.round(shape[part]!)),
      [32, 8],
    );
  });
});
