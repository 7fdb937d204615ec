import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { tokenChain } from '../../routing/token-chain.ts';
import { ExactIndex } from './exact-index.ts';
import { allocateExact, LEAST_BYTES } from './exact-memory.ts';
import { RowSearch } from './row-search.ts';

fc.configureGlobal({ seed: 29 });

const SCOPE = { blockSize: 1, adapter: '', salt: '' };
const BLOCKS = 40;
const TOKENS = Uint32Array.from({ length: BLOCKS }, (_, at) => 7 * at);
const CHAIN = tokenChain(TOKENS, SCOPE);

function store(index: ExactIndex, slot: number, tokens: Uint32Array): number {
  const row = index.open(slot, 0);
  assert.ok(row);
  const names = tokenChain(tokens, SCOPE).hashes;
  const of = { kind: 'stored', names, tokens, parent: undefined, extras: undefined, tier: 'gpu' } as const;
  if (tokens.length > 0) assert.equal(index.store(row, { ...of, ...SCOPE }), 'stored');
  return row.number;
}

/** A row for each of these lengths, which holds so many blocks of the prompt, in an index that is full with them. */
function rowsOf(index: ExactIndex, lengths: readonly number[]): number[] {
  const rest = index.capacity - lengths.reduce((sum, length) => sum + length, 0);
  store(
    index,
    lengths.length,
    Uint32Array.from({ length: rest }, (_, at) => at + 1),
  );
  return lengths.map((length, slot) => store(index, slot, TOKENS.slice(0, length)));
}

describe('a search in many rows', () => {
  const lengths = fc.array(fc.oneof(fc.constantFrom(0, 1, BLOCKS), fc.integer({ min: 0, max: BLOCKS })), {
    ...{ minLength: 1, maxLength: 120, size: 'max' },
  });

  it('finds what each knows, however many lengths there are', () => {
    fc.assert(
      fc.property(lengths, fc.integer({ min: 0, max: BLOCKS }), (known, asked) => {
        const index = new ExactIndex(allocateExact(LEAST_BYTES, 0x5eed));
        const rows = rowsOf(index, known);
        const search = new RowSearch(index.memory);
        search.begin();
        for (const row of rows) search.add(row);
        search.run({ ...CHAIN, count: asked });
        assert.deepEqual(
          rows.map((row) => search.knownTo(row)),
          known.map((length) => Math.min(length, asked)),
        );
      }),
    );
  });
});
