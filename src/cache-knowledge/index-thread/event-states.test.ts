import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { recordingLog } from '../../../test/support/recording-log.ts';
import { VirtualClock } from '../../base/virtual-clock.ts';
import type { EventsState } from '../exact/exact-memory.ts';
import { EventStates } from './event-states.ts';

function bench() {
  const clock = new VirtualClock();
  const lines: { message: string; fields: Record<string, unknown> }[] = [];
  const states = new EventStates({ clock, log: recordingLog(lines) });
  return {
    ...{ clock, lines, states },
    see: (state: EventsState, generation = 1, reason?: string) => {
      states.seen({ id: 'http://w', slot: 3, generation, state, reason });
      return lines.splice(0).map(({ message }) => /received|lost|no cache events/.exec(message)?.[0]);
    },
  };
}

describe('what the log says of events', () => {
  it('is each change, once', () => {
    const { see } = bench();
    assert.deepEqual([see('connecting'), see('live'), see('live')], [[], ['received'], []]);
    assert.deepEqual([see('lost'), see('lost'), see('connecting')], [['lost'], [], []]);
  });

  it('is that none come, when they had time to', () => {
    const { clock, lines, states, see } = bench();
    assert.deepEqual(see('connecting'), []);
    clock.advance(9_999);
    assert.deepEqual(see('connecting'), []);
    clock.advance(1);
    states.seen({ id: 'http://w', slot: 3, generation: 1, state: 'connecting', reason: 'refused' });
    assert.deepEqual(lines.splice(0)[0]?.fields, { worker: 'http://w', reason: 'refused' });
    assert.deepEqual([see('connecting'), see('live')], [[], ['received']]);
    assert.deepEqual(see('none'), ['no cache events']);
  });

  it('is not more than a line a minute of one that comes and goes, and in the end how it is', () => {
    const { clock, see } = bench();
    assert.deepEqual([see('live'), see('lost')], [['received'], ['lost']]);
    for (let i = 0; i < 5; i++) assert.deepEqual([see('live'), see('lost')], [[], []]);
    assert.deepEqual(see('live'), []);
    clock.advance(60_000);
    assert.deepEqual(see('live'), ['received']);
  });

  it('begins anew with the next worker of the slot', () => {
    const { states, see } = bench();
    assert.deepEqual([see('live', 1), see('live', 2)], [['received'], ['received']]);
    states.left(3);
    assert.deepEqual(see('live', 2), ['received']);
  });
});
