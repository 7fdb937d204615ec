import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RouterError } from '../../base/errors.ts';
import type { Runtime } from '../runtime.ts';
import { Deadline } from './deadline.ts';

test('a timer that rings a moment early ends the time all the same', () => {
  const rung: (() => void)[] = [];
  const clock = {
    now: () => 99.6,
    after(_delayMs: number, callback: () => void) {
      rung.push(callback);
      return { cancel: () => undefined, refresh: () => undefined };
    },
  };
  const rt = { clock, settings: { timeouts: { requestMs: 100 } } } as unknown as Runtime;
  const deadline = new Deadline(rt, 0, () => undefined);
  deadline.check();
  let woken = 0;
  deadline.wakes(() => (woken += 1));
  rung[0]?.();
  assert.deepEqual([woken, deadline.leftMs], [1, 0]);
  assert.throws(
    () => {
      deadline.check();
    },
    (error) => error instanceof RouterError && error.code === 'deadline_exceeded',
  );
});
