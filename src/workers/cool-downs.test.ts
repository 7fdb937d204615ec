import assert from 'node:assert/strict';
import { test } from 'node:test';
import { JoinedMemory, SharedMemory } from '../base/thread-memory.ts';
import { CoolDowns } from './cool-downs.ts';

const AT = { slot: 3, generation: 1 };

test('what one thread is told all of them keep to, until time is up', () => {
  const memory = new SharedMemory(1);
  const control = new CoolDowns(memory);
  const thread = new CoolDowns(new JoinedMemory(memory.regions, { rows: 2, self: 1 }));
  thread.begin(AT, 5_000, 429);
  assert.equal(control.leftMs(AT, 2_000), 3_000);
  assert.equal(control.statusOf(AT, 2_000), 429);
  assert.equal(control.leftMs(AT, 5_000), 0);
  assert.equal(control.statusOf(AT, 5_000), undefined);
});

test('a later word does not make it shorter, and the next worker of the slot knows nothing of it', () => {
  const rests = new CoolDowns(new SharedMemory(1));
  rests.begin(AT, 5_000, 401);
  rests.begin(AT, 3_000, 429);
  assert.equal(rests.leftMs(AT, 0), 5_000);
  assert.equal(rests.statusOf(AT, 0), 401);
  assert.equal(rests.leftMs({ slot: 3, generation: 2 }, 0), 0);
  rests.begin({ slot: 1_000_000, generation: 1 }, 5_000, 429);
  assert.equal(rests.leftMs({ slot: 1_000_000, generation: 1 }, 0), 0);
});
