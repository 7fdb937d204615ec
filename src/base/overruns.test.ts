import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { RouterThreads } from '../../test/support/router-threads.ts';
import { OverrunCells, Overruns } from './overruns.ts';
import { ownMemory } from './thread-memory.ts';
import { VirtualClock } from './virtual-clock.ts';

/** One call of so many ms. */
function call(overruns: Overruns, clock: VirtualClock, ms: number): number | undefined {
  const from = clock.now();
  clock.advance(ms);
  return overruns.note(from);
}

describe('overruns', () => {
  it('are too many at the third within a minute and 300 calls', () => {
    const clock = new VirtualClock();
    const overruns = new Overruns(10, clock);
    assert.equal(call(overruns, clock, 10), undefined);
    assert.equal(call(overruns, clock, 11), 11);
    assert.equal(call(overruns, clock, 11), 11);
    assert.equal(overruns.tooMany, false);
    call(overruns, clock, 11);
    assert.equal(overruns.tooMany, true);
  });

  it('that are far apart, in time or calls, are not', () => {
    const clock = new VirtualClock();
    const [slow, often] = [new Overruns(10, clock), new Overruns(10, clock)];
    for (let i = 0; i < 9; i++) {
      call(slow, clock, 11);
      clock.advance(30_000);
    }
    for (let i = 0; i < 9; i++) {
      call(often, clock, 11);
      for (let j = 0; j < 150; j++) call(often, clock, 0);
    }
    assert.deepEqual([slow.tooMany, often.tooMany], [false, false]);
  });

  it('of all threads count together where they have one name, and of others apart', () => {
    const clock = new VirtualClock();
    const threads = new RouterThreads(2);
    new OverrunCells(threads.control.memory);
    const counts = [1, 2].map((row) => {
      const cells = new OverrunCells(threads.begin(row).memory);
      return {
        mine: new Overruns(10, clock, cells.of('mine')),
        other: new Overruns(10, clock, cells.of('other')),
      };
    });
    for (const { mine } of [...counts, counts[0]!]) call(mine, clock, 11);
    assert.deepEqual(
      counts.map(({ mine, other }) => [mine.tooMany, other.tooMany]),
      [
        [true, false],
        [true, false],
      ],
    );
    // Nor does a thread that takes the place of one ask again.
    threads.end(2);
    assert.equal(new Overruns(10, clock, new OverrunCells(threads.begin(2).memory).of('mine')).tooMany, true);
  });

  it('have names for all plugins that there may be, and none beyond', () => {
    const cells = new OverrunCells(ownMemory());
    const all = Array.from({ length: 256 }, (_, index) => cells.of(`plugin ${index}`));
    assert.equal(new Set(all.map((one) => one?.byteOffset)).size, 256);
    assert.equal(cells.of('one more'), undefined);
    assert.equal(cells.of('plugin 7')?.byteOffset, all[7]?.byteOffset);
  });
});
