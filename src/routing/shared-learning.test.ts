import assert from 'node:assert/strict';
import { it, type TestContext } from 'node:test';
import { ThreadEnds } from '../../test/support/thread-ends.ts';
import { VirtualClock } from '../base/virtual-clock.ts';
import type { FreshIds } from './hash-key.ts';
import { FreshIdsOfThread, FreshIdsOfThreads } from './shared-fresh-ids.ts';
import { ByteKinds } from './text-shape.ts';
import { TokenRatioOfThread, TokenRatioOfThreads } from './shared-token-ratio.ts';

const plain = (bytes: number) => ({ bytes, shape: new ByteKinds().shapeOf(bytes, 0) });

it('what one thread learns of a model counts in all within a second, and in one that begins later', async (t) => {
  const ends = new ThreadEnds(t, 2);
  const clock = new VirtualClock();
  const control = new TokenRatioOfThreads(ends.channels);
  const [one, other] = [1, 2].map((row) => new TokenRatioOfThread(ends.begin(row).channel, clock));
  await ends.settled();
  for (let answer = 0; answer < 20; answer++) {
    one!.learn('m', plain(1500), 1000);
    other!.learn('m', plain(2500), 1000);
  }
  one!.learn('m', plain(Infinity), 1);
  await ends.settled();
  assert.equal(other!.charsPerToken('m'), 4, 'they are gathered first');
  clock.advance(500);
  await ends.settled();
  for (const ratio of [control, one!, other!])
    assert.ok(Math.abs(ratio.charsPerToken('m') - 2) < 0.1, `${ratio.charsPerToken('m')}`);
  ends.channels.end(1);
  const later = new TokenRatioOfThread(ends.begin(1).channel, clock);
  await ends.settled();
  assert.equal(later.charsPerToken('m'), control.charsPerToken('m'));
  other!.learn('m', plain(16_000), 1000);
  clock.advance(500);
  await ends.settled();
  assert.ok(later.charsPerToken('m') > 2 && later.charsPerToken('m') === other!.charsPerToken('m'));
});

const key = (value: string) => ({ source: 'header:x-session-id', value, sticky: true });

function watches(t: TestContext, threads: number) {
  const ends = new ThreadEnds(t, threads);
  new FreshIdsOfThreads(ends.channels);
  return {
    ends,
    watches: Array.from({ length: threads }, (_, at) => new FreshIdsOfThread(ends.begin(at + 1).channel)),
  };
}

it('fresh ids are noticed once, by one thread', async (t) => {
  const { ends, watches: all } = watches(t, 3);
  const found: FreshIds[] = [];
  for (let request = 0; request < 3000; request++) {
    const fresh = all[request % 3]!.note(key(`id-${request}`));
    if (fresh) found.push(fresh);
    if (request % 50 === 0) await ends.settled();
  }
  assert.deepEqual(found, [{ source: 'header:x-session-id', share: 1 }]);
});

it('ids that come again in another thread are not fresh', async (t) => {
  const { ends, watches: all } = watches(t, 8);
  for (let request = 0; request < 8000; request++) {
    const id = Math.floor(request / 4);
    assert.equal(all[request % 8]!.note(key(`session-${id}`)), undefined);
    if (request % 50 === 0) await ends.settled();
  }
});
