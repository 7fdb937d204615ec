import assert from 'node:assert/strict';
import { it } from 'node:test';
import { SaidLately } from './said-lately.ts';
import { VirtualClock } from './virtual-clock.ts';

it('lets each thing be said once a minute, and remembers a bounded number of them', () => {
  const clock = new VirtualClock();
  const said = new SaidLately(clock);
  assert.deepEqual(
    ['a', 'b', 'a'].map((what) => said.isDue(what)),
    [true, true, false],
  );
  clock.advance(60_000);
  assert.deepEqual([said.isDue('a'), said.isDue('a')], [true, false]);
  for (let at = 0; at < 256; at++) said.isDue(String(at));
  assert.equal(said.isDue('a'), true);
});
