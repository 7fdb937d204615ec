import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from './virtual-clock.ts';

test('timers run in the order in which they are due, each at its own time', () => {
  const clock = new VirtualClock();
  const seen: string[] = [];
  for (const [name, delayMs] of [
    ['late', 20],
    ['soon', 10],
    ['soon too', 10],
  ] as const) {
    clock.after(delayMs, () => seen.push(`${name} at ${clock.now()}`));
  }
  clock.advance(30);
  assert.deepEqual(seen, ['soon at 10', 'soon too at 10', 'late at 20']);
  assert.equal(clock.now(), 30);
});

test('a timer can be set again, also when it has fired, but not when it was cancelled', () => {
  const clock = new VirtualClock();
  let fired = 0;
  const timer = clock.after(10, () => {
    fired += 1;
    if (fired < 3) timer.refresh();
  });
  clock.advance(5);
  timer.refresh();
  clock.advance(9);
  assert.equal(fired, 0);
  clock.advance(100);
  assert.equal(fired, 3);
  timer.refresh();
  timer.cancel();
  timer.refresh();
  clock.advance(100);
  assert.equal(fired, 3);
  assert.equal(clock.pending, 0);
});
