import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { EventsHeard, type EventsSeen } from './events-heard.ts';
import { NO_ACCURACY } from './tallies.ts';
import type { Accuracy } from './judge.ts';

const LIVE: EventsSeen = { isUnpublished: false, state: 'live', reason: undefined, batches: 7 };

/** So many answers to prompts of 1,000 tokens. */
function told(answers: number, cachedOfEach = 0): Accuracy {
  return { ...NO_ACCURACY, answers, prompt: 1000 * answers, actual: cachedOfEach * answers };
}

/** Looks every ten seconds. */
function looks(seen: readonly (readonly [EventsSeen | undefined, Accuracy?])[]): (string | undefined)[] {
  const heard = new EventsHeard();
  return seen.map(([events, accuracy = NO_ACCURACY], at) =>
    heard.missing(events, { now: 10_000 * at, told: accuracy, blockSize: 16 }),
  );
}

describe('the events of a worker', () => {
  it('are missing where it publishes none, at once', () => {
    assert.match(looks([[{ ...LIVE, isUnpublished: true, state: 'none' }]])[0] ?? '', /publishes no events/);
  });

  it('are missed by nobody who does not want them', () => {
    assert.deepEqual(looks([[undefined], [undefined, told(90)], [undefined, told(180)]]), [
      undefined,
      undefined,
      undefined,
    ]);
  });

  it('are missing when they are not live for half a minute, with the reason', () => {
    const down = [{ ...LIVE, state: 'lost', reason: 'ECONNREFUSED' }] as const;
    const found = looks([down, down, down, down]);
    assert.deepEqual(found.slice(0, 3), [undefined, undefined, undefined]);
    assert.equal(found[3], 'its events are lost for 30 s: ECONNREFUSED');
    assert.deepEqual(looks([down, down, down, [LIVE], down]).at(-1), undefined, 'it begins anew');
  });

  it('are missing when new blocks are computed and nothing comes', () => {
    const found = looks([[LIVE], [LIVE, told(10)], [LIVE, told(11)], [LIVE, told(12)]]);
    assert.deepEqual(found.slice(0, 3), [undefined, undefined, undefined]);
    assert.equal(found[3], 'it has computed about 121 new blocks, and no event has come');
  });

  it('need not come where everything is cached but the last block', () => {
    const found = looks([[LIVE], [LIVE, told(10, 992)], [LIVE, told(1000, 992)]]);
    assert.deepEqual(found.at(-1), undefined);
  });

  it('are not missing while some come', () => {
    const found = looks([1, 2, 3, 4].map((batches) => [{ ...LIVE, batches }, told(100 * batches)]));
    assert.deepEqual(found, [undefined, undefined, undefined, undefined]);
  });
});
