import assert from 'node:assert/strict';
import { it } from 'node:test';
import { JoinedMemory, ownMemory, SharedMemory, type ThreadMemory } from './thread-memory.ts';

const counters = (memory: ThreadMemory): Int32Array => new Int32Array(memory.region('counters', 8));

it('all threads see the same bytes under a name', () => {
  const control = new SharedMemory(2);
  counters(control)[0] = 7;
  const joined = new JoinedMemory(structuredClone(control.regions), { rows: 3, self: 2 });
  assert.equal(counters(joined)[0], 7);
  counters(joined)[1] = 8;
  assert.deepEqual([...counters(control)], [7, 8]);
});

it('a thread alone has its own, and the same for everybody who asks in it', () => {
  const memory = ownMemory();
  counters(memory)[0] = 1;
  assert.deepEqual([counters(memory)[0], counters(ownMemory())[0], memory.rows], [1, 0, 1]);
});

it('what control has not made is not there, nor what has another size', () => {
  const control = new SharedMemory(1);
  const joined = new JoinedMemory(control.regions, { rows: 2, self: 1 });
  assert.throws(() => new JoinedMemory(new Map(), joined).region('counters', 8), /no region counters/);
  counters(control);
  assert.throws(() => control.region('counters', 16), RangeError);
  control.drop('counters');
  assert.equal(control.region('counters', 16).byteLength, 16);
});
