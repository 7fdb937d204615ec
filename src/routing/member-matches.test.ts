import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { askFor, FakeFleet, prompt } from '../../test/support/pool.ts';
import { MemberMatches } from './member-matches.ts';
import { CACHE_SOURCES, type CacheMatch, type CacheView, type MatchColumns } from './policy.ts';

const KNOWN: readonly CacheMatch[] = [
  { tokens: 0, source: 'none' },
  { tokens: 64, source: 'predicted' },
  { tokens: 96, source: 'events', tiers: { cpu: 32, disk: 16 } },
  { tokens: 48, source: 'lmcache' },
];

const oneByOne: CacheView = { match: (_ask, slot) => KNOWN[slot]! };

/** The same in columns, with the rows in another order than the slots. */
const atOnce: CacheView = {
  ...oneByOne,
  matchAll: (): MatchColumns => {
    const bySlot = [...KNOWN].reverse();
    return {
      rows: Int32Array.from(KNOWN, (_, slot) => KNOWN.length - 1 - slot),
      tokens: Float64Array.from(bySlot, ({ tokens }) => tokens),
      sources: Uint8Array.from(bySlot, ({ source }) => CACHE_SOURCES.indexOf(source)),
      tiers: {
        cpu: Float64Array.from(bySlot, ({ tiers }) => tiers?.cpu ?? 0),
        disk: Float64Array.from(bySlot, ({ tiers }) => tiers?.disk ?? 0),
      },
    };
  },
};

describe('what is known of a prompt in the caches of a pool', () => {
  it('is the same whether it is looked at for one after the other or for all at once', () => {
    const fleet = new FakeFleet();
    for (const slots of [
      [0, 1, 2, 3],
      [3, 2],
      [2, 0, 1],
    ])
      for (const masked of [[], [1]]) {
        const pool = fleet.pool(slots, { masked });
        const [one, all] = [new MemberMatches(oneByOne), new MemberMatches(atOnce)];
        for (const matches of [one, all]) matches.look(askFor(prompt(200)), pool);
        const expected = slots.map((slot, index) => (masked.includes(index) ? NaN : KNOWN[slot]!.tokens));
        assert.deepEqual([...one.tokens], expected);
        assert.deepEqual(all.tokens, one.tokens);
        assert.deepEqual(all.saved, one.saved);
        const sources = slots.map((slot) => KNOWN[slot]!.source);
        for (const { knowledge } of [one, all])
          assert.deepEqual(
            [...(knowledge?.sources ?? [])].map((code) => CACHE_SOURCES[code]),
            sources,
          );
      }
  });

  it('counts for less where it must be loaded from elsewhere, and for the same where not', () => {
    const fleet = new FakeFleet();
    const { tokens, saved, knowledge } = new MemberMatches(atOnce).look(askFor(prompt(200)), fleet.pool(4));
    assert.deepEqual([...tokens], [0, 64, 96, 48]);
    assert.deepEqual([...saved], [0, 64, 96 - 0.1 * 32 - 0.5 * 16, 48]);
    assert.deepEqual([...(knowledge?.tiers?.cpu ?? [])], [0, 0, 32, 0]);
  });

  it('costs nothing more where all of it is predicted', () => {
    const columns = { rows: Int32Array.of(0, 1), tokens: Float64Array.of(16, 32) };
    const matches = new MemberMatches({ ...oneByOne, matchAll: () => columns });
    matches.look(askFor(prompt(64)), new FakeFleet().pool(2));
    assert.deepEqual([matches.saved === matches.tokens, matches.knowledge], [true, undefined]);
  });
});
