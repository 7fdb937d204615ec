import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { VirtualClock } from '../../base/virtual-clock.ts';
import { KvLinks } from './kv-links.ts';

/** What arrived and when, by name; 1,000 tokens a second. */
function links() {
  const clock = new VirtualClock(0);
  const all = new KvLinks(clock, 1000);
  const ended: [name: string, at: number, arrived: boolean][] = [];
  const send = (name: string, tokens: number, from = 0, to = 1): void => {
    all.send(tokens, from, to, (arrived) => ended.push([name, Math.round(clock.now()), arrived]));
  };
  const run = (): void => {
    while (clock.step());
  };
  return { clock, all, ended, send, run };
}

describe('links between engines', () => {
  it('take tokens at their rate, those of different pairs beside each other', () => {
    const { ended, send, run } = links();
    send('a', 500);
    send('b', 500, 0, 2);
    run();
    assert.deepEqual(ended, [
      ['a', 500, true],
      ['b', 500, true],
    ]);
  });

  it('are shared alike by what is under way at once', () => {
    const { clock, ended, send, run } = links();
    send('long', 1000);
    clock.after(400, () => send('short', 200));
    run();
    // 400 of the long one by itself, then 200 of each in 400 ms, then the 400 that are left.
    assert.deepEqual(ended, [
      ['short', 800, true],
      ['long', 1200, true],
    ]);
  });

  it('lose what is under way from or to an engine that dies, and nothing else', () => {
    const { clock, all, ended, send, run } = links();
    send('from', 1000, 1, 2);
    send('to', 1000, 3, 1);
    send('other', 1000, 11, 2);
    clock.after(300, () => all.cut(1));
    run();
    assert.deepEqual(ended, [
      ['from', 300, false],
      ['to', 300, false],
      ['other', 1000, true],
    ]);
  });

  it('that are faster than anything take no time', () => {
    const clock = new VirtualClock(0);
    let arrived = 0;
    const all = new KvLinks(clock, Infinity);
    for (let i = 0; i < 3; i++) all.send(1000, 0, 1, () => (arrived += 1));
    while (clock.step());
    assert.equal(arrived, 3);
    assert.equal(clock.now(), 0);
  });
});
