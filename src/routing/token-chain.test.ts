import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { chainBlocks, chainRoot, tokenChain, type ChainScope } from './token-chain.ts';

const scope = (over: Partial<ChainScope> = {}): ChainScope => ({
  blockSize: 16,
  adapter: '',
  salt: '',
  ...over,
});

const ONE = { first: 0, end: 1 };

function names(ids: readonly number[], of: ChainScope = scope()): string[] {
  const { hashes, count } = tokenChain(Uint32Array.from(ids), of);
  return Array.from({ length: count }, (_, at) => `${hashes[2 * at]}:${hashes[2 * at + 1]}`);
}

function common<T>(left: readonly T[], right: readonly T[]): number {
  const end = left.findIndex((one, at) => one !== right[at]);
  return end < 0 ? left.length : end;
}

/** Inputs such as prompts are, and as hash functions fail on, no two alike: counting up, one or two words apart, few distinct ids. */
function* structured(count: number): Generator<Uint32Array> {
  const ids = new Uint32Array(16);
  for (let turn = 0; turn < count; turn++) {
    const kind = turn % 4;
    const value = turn >>> 2;
    if (kind === 0) ids.forEach((_, at) => (ids[at] = value + at));
    else if (kind === 1) ids.fill(7).set([1000 + value], value % 16);
    else if (kind === 2) ids.fill(0).set([1 + (value & 0x3ff), 1 + (value >>> 10)], value % 15);
    else ids.forEach((_, at) => (ids[at] = 1 + ((value >>> at) & 1) + (at === 0 ? value : 0)));
    yield ids;
  }
}

describe('chains of token blocks', () => {
  it('share exactly the blocks of what two prompts begin with alike', () => {
    const ids = fc.array(fc.nat(130_000), { maxLength: 90 });
    const sizes = fc.constantFrom(1, 3, 4, 16, 32);
    fc.assert(
      fc.property(ids, ids, ids, sizes, (beginning, one, other, blockSize) => {
        const left = [...beginning, ...one];
        const right = [...beginning, ...other];
        const same = common(left, right);
        const blocks = Math.floor(Math.min(same, left.length, right.length) / blockSize);
        assert.equal(
          common(names(left, scope({ blockSize })), names(right, scope({ blockSize }))),
          Math.min(blocks, Math.floor(left.length / blockSize)),
        );
      }),
    );
  });

  it('share nothing with those of another block size, adapter or salt', () => {
    const ids = Array.from({ length: 64 }, (_, at) => at);
    const scopes = [
      scope(),
      scope({ blockSize: 8 }),
      scope({ adapter: 'a' }),
      scope({ adapter: 'ab', salt: 'c' }),
      scope({ adapter: 'a', salt: 'bc' }),
      scope({ salt: 'a' }),
      scope({ adapter: 'b' }),
      scope({ salt: 'abc' }),
    ];
    const all = scopes.flatMap((one) => names(ids, one));
    assert.equal(new Set(all).size, all.length);
    assert.deepEqual(names(ids, scope({ adapter: 'a' })), names(ids, scope({ adapter: 'a' })));
  });

  it('count whole blocks, and all tokens', () => {
    const { count, totalTokens, tokensPerBlock, estimated } = tokenChain(new Uint32Array(40), scope());
    assert.deepEqual([count, totalTokens, tokensPerBlock, estimated], [2, 40, 16, false]);
    assert.equal(tokenChain(new Uint32Array(15), scope()).count, 0);
  });

  it('are the same wherever a chain is taken up: an event goes on where another one ended', () => {
    const ids = Uint32Array.from({ length: 160 }, (_, at) => at * 17);
    const { hashes } = tokenChain(ids, scope());
    const first = new Uint32Array(6);
    chainBlocks(first, chainRoot(scope()), ids, 16, { first: 0, end: 3 });
    const rest = new Uint32Array(14);
    chainBlocks(rest, { low: first[4]!, high: first[5]! }, ids, 16, { first: 3, end: 10 });
    assert.deepEqual([...first, ...rest], [...hashes]);
  });

  it('tell a block with an image in it from one without, and all behind it', () => {
    const ids = Uint32Array.from({ length: 64 }, (_, at) => at);
    const withExtras = (extras: readonly string[]): number[] => {
      const hashes = new Uint32Array(8);
      chainBlocks(hashes, chainRoot(scope()), ids, 16, { first: 0, end: 4, extras });
      return [...hashes];
    };
    const plain = withExtras([]);
    const one = withExtras(['', 'image-1:0']);
    const other = withExtras(['', 'image-2:0']);
    assert.deepEqual(one.slice(0, 2), plain.slice(0, 2));
    assert.equal(new Set([...plain.slice(2), ...one.slice(2), ...other.slice(2)]).size, 18);
  });

  it('do not meet in two million blocks made alike, and each half is as good as chance', () => {
    const seen = new Float64Array(2 ** 21);
    const halves = [new Uint32Array(2 ** 21), new Uint32Array(2 ** 21)] as const;
    const root = chainRoot(scope());
    const hash = new Uint32Array(2);
    let at = 0;
    for (const ids of structured(2 ** 21)) {
      chainBlocks(hash, root, ids, 16, ONE);
      // 53 of the 64 bits: two of two million random ones are the same with a chance of 1 in 4,096.
      seen[at] = hash[0]! * 2 ** 21 + (hash[1]! >>> 11);
      halves[0][at] = hash[0]!;
      halves[1][at++] = hash[1]!;
    }
    assert.equal(repeats(seen.sort()), 0);
    for (const half of halves) {
      const expected = 2 ** 42 / 2 / 2 ** 32;
      assert.ok(Math.abs(repeats(half.sort()) - expected) < 6 * Math.sqrt(expected));
    }
  });

  it('change half of their bits with any bit of a token or of what was before', () => {
    const ids = Uint32Array.from({ length: 16 }, (_, at) => 1000 + at);
    const before = { low: 12_345, high: 67_890 };
    const base = new Uint32Array(2);
    chainBlocks(base, before, ids, 16, ONE);
    const flipped = new Uint32Array(2);
    for (let bit = 0; bit < 18 * 32; bit++) {
      const word = bit >> 5;
      const mask = 1 << (bit & 31);
      const other = ids.slice();
      if (word < 16) other[word]! ^= mask;
      const parent = {
        low: word === 16 ? before.low ^ mask : before.low,
        high: word === 17 ? before.high ^ mask : before.high,
      };
      chainBlocks(flipped, parent, other, 16, ONE);
      const changed = bits(base[0]! ^ flipped[0]!) + bits(base[1]! ^ flipped[1]!);
      assert.ok(changed >= 14 && changed <= 50, `bit ${bit} changed ${changed}`);
    }
  });

  it('are those of every machine and version: records and other routers know them by these numbers', () => {
    const ids = Uint32Array.from({ length: 32 }, (_, at) => at);
    assert.deepEqual(names([...ids]), GOLDEN.plain);
    assert.deepEqual(names([...ids], scope({ adapter: 'sql', salt: 'tenant-a' })), GOLDEN.scoped);
  });
});

const GOLDEN = {
  plain: ['3341232420:1456562202', '2926818351:634136344'],
  scoped: ['2224387742:3936012652', '2334241858:962868444'],
};

function repeats(sorted: Float64Array | Uint32Array): number {
  let count = 0;
  for (let at = 1; at < sorted.length; at++) if (sorted[at] === sorted[at - 1]) count++;
  return count;
}

function bits(word: number): number {
  let count = 0;
  for (let left = word; left !== 0; left &= left - 1) count++;
  return count;
}
