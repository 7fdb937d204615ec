import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { askFor, FakeFleet, prompt } from '../../test/support/pool.ts';
import type { CacheSource } from './policy.ts';
import { StageColumns } from './stage-columns.ts';

/** Of workers with room for 1,000 tokens that are all thought to have 800 of a prompt. */
function lookedAt(kvTokens: readonly number[], sources: readonly CacheSource[] = []): StageColumns {
  const fleet = new FakeFleet();
  const columns = new StageColumns({
    loads: { ...fleet.loads, kvTokens: (slot) => kvTokens[slot]! },
    cache: { match: (_, slot) => ({ tokens: 800, source: sources[slot] ?? 'predicted' }) },
    capacityOf: (slot) => (slot === 9 ? Infinity : 1000),
  });
  return columns.look(askFor(prompt(1600)), fleet.pool(kvTokens.length, { masked: [1] }));
}

const doubted = (columns: StageColumns, count: number): number[] =>
  [...columns.doubt(new FakeFleet().pool(count, { masked: [1] })).saved].map(Math.round);

describe('what is predicted of a cache', () => {
  it('is found the less, the more of it is wanted', () => {
    const columns = lookedAt([0, 0, 500, 1000, 2000]);
    assert.deepEqual(doubted(columns, 5), [800, NaN, 738, 600, 343]);
    assert.deepEqual([...columns.matches.tokens], [800, NaN, 800, 800, 800], 'what is told of it stays');
  });

  it('is found where nobody knows how much room there is', () => {
    assert.equal(doubted(lookedAt(Array<number>(10).fill(5000)), 10)[9], 800);
  });

  it('is not doubted where the engine tells', () => {
    assert.deepEqual(doubted(lookedAt([2000, 0, 2000], ['predicted', 'events', 'events']), 3), [
      343,
      NaN,
      800,
    ]);
  });
});
