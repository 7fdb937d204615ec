import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { ThreadEnds } from '../../../test/support/thread-ends.ts';
import { VirtualClock } from '../../base/virtual-clock.ts';
import { OwnersOfThread, OwnersOfThreads, OWNER_OF } from './shared-owners.ts';

function connect(t: TestContext) {
  const ends = new ThreadEnds(t, 2);
  const clock = new VirtualClock();
  const control = new OwnersOfThreads(ends.channels);
  const [one, other] = [1, 2].map((row) => new OwnersOfThread(ends.begin(row).channel, clock));
  return { ends, clock, control, one: one!, other: other! };
}

describe('owners of stored resources, with several threads', () => {
  it('created in one thread, found in another at once', async (t) => {
    const { one, other, control } = connect(t);
    one.created('resp_1', 'w1', 'acme');
    // Its own word has not come to control yet: the question is behind it.
    await other.lookUp('resp_1');
    assert.deepEqual([other.ownerOf('resp_1'), other.tenantOf('resp_1')], ['w1', 'acme']);
    assert.equal(other.lookUp('resp_1'), undefined, 'known: nobody is asked');
    assert.equal(control.ownerOf('resp_1'), 'w1');
  });

  it('is found although the thread that has made it has told nobody yet', async (t) => {
    const { ends, one, other } = connect(t);
    const asked = other.lookUp('resp_1');
    // Control has asked the threads when this one is told by its worker.
    one.created('resp_1', 'w2', undefined);
    await asked;
    assert.equal(other.ownerOf('resp_1'), 'w2');
    await ends.settled();
  });

  it('stays with its tenant, whichever thread hears of another one', async (t) => {
    const { ends, one, other, control } = connect(t);
    one.created('mine', 'w1', 'acme');
    await ends.settled();
    other.created('mine', 'w2', 'umbrella');
    await ends.settled();
    for (const owners of [one, other, control])
      assert.deepEqual([owners.ownerOf('mine'), owners.tenantOf('mine')], ['w1', 'acme']);
    one.created('at once', 'w1', 'acme');
    other.created('at once', 'w2', 'umbrella');
    await ends.settled();
    assert.equal(new Set([one, other, control].map((owners) => owners.tenantOf('at once'))).size, 1);
  });

  it('is where it was found last, in all threads', async (t) => {
    const { ends, one, other, control } = connect(t);
    one.created('moved', 'w1', 'acme');
    await ends.settled();
    other.found('moved', 'w2');
    await ends.settled();
    for (const owners of [one, other, control])
      assert.deepEqual([owners.ownerOf('moved'), owners.tenantOf('moved')], ['w2', 'acme']);
  });

  it('nobody knows it: that is said, and nobody waits for a thread that hangs', async (t) => {
    const { ends, clock, one, other } = connect(t);
    await one.lookUp('unknown');
    assert.equal(one.ownerOf('unknown'), undefined);
    ends.channels.end(1);
    const hung = ends.begin(1);
    hung.channel.answer(OWNER_OF, () => new Promise(() => undefined));
    const asked = other.lookUp('unknown');
    clock.advance(1000);
    await asked;
    assert.equal(other.ownerOf('unknown'), undefined);
  });
});
