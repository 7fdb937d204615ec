import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { tokensIn, type PromptBlocks } from './blocks.ts';
import { blocksFromHashIds } from './hash-ids.ts';
import { MAX_HASHED_BYTES, PromptHasher } from './prompt-hash.ts';

fc.configureGlobal({ seed: 7 });

type Piece =
  { kind: 'role'; name: string } | { kind: 'text'; value: string } | { kind: 'tokens'; ids: number[] };

const text = fc.string({ unit: 'binary', maxLength: 300 });
const piece: fc.Arbitrary<Piece> = fc.oneof(
  fc.record({ kind: fc.constant('role' as const), name: fc.constantFrom('user', 'assistant', '', 'system') }),
  fc.record({ kind: fc.constant('text' as const), value: text }),
  fc.record({ kind: fc.constant('tokens' as const), ids: fc.array(fc.nat(200_000), { maxLength: 70 }) }),
);

function feed(hasher: PromptHasher, pieces: readonly Piece[], cut?: () => number): PromptHasher {
  for (const part of pieces) {
    if (part.kind === 'role') hasher.role(part.name);
    else if (part.kind === 'text') {
      for (const slice of slices(part.value, cut)) hasher.text(slice as string);
    } else {
      for (const slice of slices(part.ids, cut)) hasher.tokens(slice as number[]);
    }
  }
  return hasher;
}

function* slices(whole: string | number[], cut: (() => number) | undefined): Generator<string | number[]> {
  let at = 0;
  while (cut && at < whole.length) {
    const next = at + cut();
    yield whole.slice(at, next);
    at = next;
  }
  if (!cut) yield whole;
}

const finish = (hasher: PromptHasher): PromptBlocks => hasher.finish({ charsPerToken: 4 });
const hashText = (...texts: string[]): PromptBlocks => {
  const hasher = new PromptHasher();
  for (const each of texts) hasher.text(each);
  return finish(hasher);
};
const chain = (blocks: PromptBlocks): string[] =>
  Array.from({ length: blocks.count }, (_, i) => `${blocks.hashes[2 * i]}:${blocks.hashes[2 * i + 1]}`);

describe('PromptHasher', () => {
  it('gives the same blocks however the text and the ids are cut into calls', () => {
    fc.assert(
      fc.property(
        fc.array(piece, { maxLength: 12 }),
        fc.array(fc.integer({ min: 0, max: 90 }), { minLength: 1 }),
        (pieces, cuts) => {
          let turn = 0;
          const cut = (): number => Math.max(turn % 7 === 6 ? 1 : 0, cuts[turn++ % cuts.length]!);
          const whole = feed(new PromptHasher(), pieces);
          const cutUp = feed(new PromptHasher(), pieces, cut);
          assert.deepEqual(finish(cutUp), finish(whole));
          assert.equal(cutUp.fingerprint(), whole.fingerprint());
        },
      ),
    );
  });

  it('reads long pieces as it reads their characters one by one, half surrogates and all', () => {
    const unit = fc.nat(0xffff).map((code) => String.fromCharCode(code));
    const long = fc.tuple(
      fc.string({ unit, minLength: 1, maxLength: 20 }),
      fc.integer({ min: 200, max: 9000 }),
    );
    fc.assert(
      fc.property(
        fc.array(long, { minLength: 1, maxLength: 3 }),
        fc.string({ maxLength: 3 }),
        (texts, before) => {
          const pieces: Piece[] = [
            before,
            ...texts.map(([of, length]) => of.repeat(length).slice(0, length)),
          ].map((value) => ({ kind: 'text', value }));
          const whole = feed(new PromptHasher(), pieces);
          const oneByOne = feed(new PromptHasher(), pieces, () => 1);
          assert.deepEqual(finish(whole), finish(oneByOne));
          assert.equal(whole.fingerprint(), oneByOne.fingerprint());
        },
      ),
      { numRuns: 50 },
    );
  });

  it('gives the same blocks for bytes as for the string that they spell', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.boolean(), fc.string({ unit: 'grapheme', maxLength: 20 }), fc.nat(3_000)), {
          minLength: 1,
          maxLength: 6,
        }),
        (pieces) => {
          const strings = new PromptHasher('m');
          const mixed = new PromptHasher('m');
          for (const [asBytes, of, times] of pieces) {
            const value = of.repeat(times);
            strings.text(value);
            const bytes = Buffer.from(`"${value}"`);
            if (asBytes) mixed.utf8(bytes, 1, bytes.length - 1);
            else mixed.text(value);
          }
          assert.deepEqual(finish(mixed), finish(strings));
          assert.equal(mixed.fingerprint(), strings.fingerprint());
          assert.equal(mixed.textBytes, strings.textBytes);
        },
      ),
      { numRuns: 50 },
    );
  });

  it('takes turns with others, and goes on after it was asked', () => {
    const text = 'Some text that is longer than a block, so that one is full and another one is not.';
    const alone = new PromptHasher('a');
    const others = [new PromptHasher('a'), new PromptHasher('a')];
    for (let turn = 0; turn < 300; turn += 1) {
      alone.text(text);
      for (const other of others) other.text(text);
      if (turn % 50 === 0) others[0]?.finish({ charsPerToken: 4 });
      if (turn % 70 === 0) others[1]?.fingerprint();
    }
    for (const other of others) {
      assert.deepEqual(finish(other), finish(alone));
      assert.equal(other.fingerprint(), alone.fingerprint());
    }
  });

  it('shares exactly the blocks of the common prefix', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary', minLength: 1, maxLength: 400 }),
        text,
        text,
        (common, left, right) => {
          const a = Buffer.from(common + left);
          const b = Buffer.from(common + right);
          let shared = 0;
          while (shared < Math.min(a.length, b.length) && a[shared] === b[shared]) shared++;
          const full = Math.floor(shared / 64);
          const one = chain(hashText(common + left));
          const other = chain(hashText(common + right));
          assert.deepEqual(one.slice(0, full), other.slice(0, full));
          for (let i = full; i < Math.min(one.length, other.length); i++) assert.notEqual(one[i], other[i]);
        },
      ),
    );
  });

  it('keeps messages, roles and token ids apart, and lets no text pass for them', () => {
    const a = 'a'.repeat(100);
    const b = 'b'.repeat(200);
    const variants: ((h: PromptHasher) => void)[] = [
      (h) => feed(h, [{ kind: 'text', value: a + b }]),
      (h) =>
        feed(h, [
          { kind: 'role', name: 'user' },
          { kind: 'text', value: a + b },
        ]),
      (h) =>
        feed(h, [
          { kind: 'role', name: 'system' },
          { kind: 'text', value: a + b },
        ]),
      (h) =>
        feed(h, [
          { kind: 'role', name: '' },
          { kind: 'text', value: `user${a}${b}` },
        ]),
      (h) =>
        feed(h, [
          { kind: 'role', name: 'user' },
          { kind: 'text', value: a },
          { kind: 'role', name: 'user' },
          { kind: 'text', value: b },
        ]),
      (h) =>
        feed(h, [
          { kind: 'role', name: 'user' },
          { kind: 'text', value: a },
          { kind: 'role', name: 'assistant' },
          { kind: 'text', value: b },
        ]),
      (h) =>
        feed(h, [
          { kind: 'role', name: 'user' },
          { kind: 'text', value: a + b[0]! },
          { kind: 'role', name: 'user' },
          { kind: 'text', value: b.slice(1) },
        ]),
      (h) => feed(h, [{ kind: 'tokens', ids: [...a, ...b].map((c) => c.charCodeAt(0)) }]),
      (h) =>
        feed(h, [
          { kind: 'tokens', ids: [97, 97] },
          { kind: 'text', value: a + b },
        ]),
    ];
    const last = variants.map((build) => {
      const hasher = new PromptHasher();
      build(hasher);
      return chain(finish(hasher)).at(-1);
    });
    assert.equal(new Set(last).size, variants.length);
  });

  it('takes a lone last character for no pair of characters', () => {
    const ending = (tail: string): PromptHasher =>
      feed(new PromptHasher(), [
        { kind: 'text', value: `${'x'.repeat(20)}${tail}` },
        { kind: 'role', name: 'user' },
      ]);
    const prints = new Set<string>();
    for (let code = 0; code < 0x10000; code++)
      prints.add(ending(String.fromCharCode(0x61, code)).fingerprint());
    assert.equal(prints.has(ending('a').fingerprint()), false);
  });

  it('shares no block between salts, and the salt costs no tokens', () => {
    const salted = (salt: string): PromptHasher =>
      feed(new PromptHasher(salt), [{ kind: 'text', value: 'x'.repeat(640) }]);
    const plain = finish(salted(''));
    const one = finish(salted('model-one'));
    const long = finish(salted('adapter/'.repeat(40)));
    assert.deepEqual([one.count, one.totalTokens, long.count], [plain.count, plain.totalTokens, plain.count]);
    const all = new Set([...chain(plain), ...chain(one), ...chain(long)]);
    assert.equal(all.size, 3 * plain.count);
    assert.equal(salted('model-one').textBytes, 640);
  });

  it('has no collisions among two hundred thousand similar prompts, in either half of the hash beyond chance', () => {
    const seen = new Set<number>();
    const low = new Set<number>();
    const high = new Set<number>();
    const n = 200_000;
    for (let i = 0; i < n; i++) {
      const { hashes } = hashText(String(i).padStart(10, '0').padEnd(64, 'x'));
      low.add(hashes[0]!);
      high.add(hashes[1]!);
      seen.add(hashes[0]! * 2 ** 21 + (hashes[1]! >>> 11));
    }
    assert.equal(seen.size, n);
    // Chance alone makes n^2 / 2^33 = 4.7 collisions of 32 bits.
    assert.ok(n - low.size < 20 && n - high.size < 20, `${n - low.size} ${n - high.size}`);
  });

  it('estimates tokens from characters with the given ratio', () => {
    const hasher = new PromptHasher();
    hasher.text('x'.repeat(1000));
    const blocks = hasher.finish({ charsPerToken: 2.5 });
    assert.deepEqual(
      [blocks.count, blocks.totalTokens, blocks.tokensPerBlock, blocks.estimated],
      [15, 400, 25.6, true],
    );
  });

  it('counts token ids exactly', () => {
    const hasher = new PromptHasher('m');
    hasher.tokens(Array.from({ length: 100 }, (_, i) => i));
    const blocks = hasher.finish({ charsPerToken: 2.5 });
    assert.deepEqual(
      [blocks.count, blocks.totalTokens, blocks.tokensPerBlock, blocks.estimated],
      [7, 100, 16, false],
    );
  });

  it('charges a message frame about five tokens', () => {
    const hasher = new PromptHasher();
    hasher.role('user');
    assert.equal(hasher.finish({ charsPerToken: 4 }).totalTokens, 5);
  });

  it('hashes at most 256 KiB of text, wherever the calls are cut, but counts all of it', () => {
    const long = 'abcdefg'.repeat(50_000);
    const whole = hashText(long);
    assert.deepEqual([whole.count, whole.totalTokens], [MAX_HASHED_BYTES / 64, 87_500]);
    assert.deepEqual(hashText(long.slice(0, MAX_HASHED_BYTES - 1), long.slice(MAX_HASHED_BYTES - 1)), whole);
    const hasher = new PromptHasher();
    hasher.tokens(Array.from({ length: 70_000 }, (_, i) => i));
    hasher.role('user');
    hasher.text('more');
    const blocks = finish(hasher);
    assert.deepEqual([blocks.count, blocks.totalTokens], [4096, 70_006]);
  });

  it('says nothing about an empty prompt', () => {
    assert.deepEqual(finish(new PromptHasher('m')), {
      count: 0,
      hashes: new Uint32Array(0),
      tokensPerBlock: 16,
      totalTokens: 0,
      estimated: false,
    });
  });

  it('fingerprints short prompts too, and differently', () => {
    const prints = ['', 'a', 'aa', 'b', 'hello', 'hello!'].map((value) => {
      const hasher = new PromptHasher();
      hasher.text(value);
      return hasher.fingerprint();
    });
    assert.equal(new Set(prints).size, prints.length);
    for (const print of prints) assert.match(print, /^[0-9a-f]{16}$/);
  });

  it('is stable: changing it would make recorded block hashes and replicas disagree', () => {
    const hasher = new PromptHasher('model');
    feed(hasher, [
      { kind: 'role', name: 'user' },
      { kind: 'text', value: 'The same on every machine. '.repeat(5) },
    ]);
    assert.deepEqual(chain(finish(hasher)), EXPECTED_CHAIN);
    const long = new PromptHasher('model');
    feed(long, [
      { kind: 'role', name: 'user' },
      { kind: 'text', value: 'Längere Texte werden in Stücken gelesen. \u{1f600} '.repeat(300) },
    ]);
    assert.equal(chain(finish(long)).at(-1), EXPECTED_LAST);
  });
});

const EXPECTED_CHAIN = ['320246980:3830652296', '3576147957:1444339524'];
const EXPECTED_LAST = '2328789269:718192294';

describe('a prompt of token ids', () => {
  it('has as many tokens as ids, whatever stands around them, and blocks of 16 behind that', () => {
    const hasher = new PromptHasher('m');
    hasher.role('prompt');
    hasher.tokens(Array.from({ length: 100 }, (_, at) => at));
    const blocks = hasher.finish({ charsPerToken: 2.5 });
    // The frame takes the first block.
    assert.deepEqual([blocks.totalTokens, blocks.estimated, blocks.count], [100, false, 7]);
    assert.deepEqual([tokensIn(blocks, 1), tokensIn(blocks, 2), tokensIn(blocks, 7)], [0, 16, 96]);
  });
});

describe('where messages ended', () => {
  it('is known of the last sixteen, the last one first', () => {
    const hasher = new PromptHasher();
    for (let message = 1; message <= 40; message++) {
      hasher.role('user');
      hasher.text('x'.repeat(message));
    }
    const ends = hasher.ends();
    assert.equal(ends.length, 17);
    assert.equal(ends[0], hasher.textBytes);
    for (const [back, end] of ends.slice(1).entries()) assert.equal(ends[back]! - end, 20 + 40 - back);
  });

  it('is not known behind what is hashed', () => {
    const hasher = new PromptHasher();
    hasher.role('user');
    hasher.text('x'.repeat(MAX_HASHED_BYTES));
    hasher.role('assistant');
    assert.deepEqual(hasher.ends(), []);
  });
});

describe('blocksFromHashIds', () => {
  it('keeps full blocks only', () => {
    const blocks = blocksFromHashIds([1, 2, 3], 512, 1100);
    assert.deepEqual(
      [blocks.count, blocks.totalTokens, blocks.tokensPerBlock, blocks.estimated],
      [2, 1100, 512, false],
    );
  });

  it('shares the blocks of a common prefix of ids, ids beyond 32 bits included', () => {
    const a = chain(blocksFromHashIds([1, 2, 3, 4], 512, 2048));
    const b = chain(blocksFromHashIds([1, 2, 9, 4], 512, 2048));
    const c = chain(blocksFromHashIds([2 ** 32 + 1, 2, 3, 4], 512, 2048));
    assert.deepEqual(a.slice(0, 2), b.slice(0, 2));
    assert.ok(a[2] !== b[2] && a[3] !== b[3]);
    assert.ok(a.every((hash, i) => hash !== c[i]));
  });
});
