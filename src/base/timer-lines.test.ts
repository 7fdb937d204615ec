import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { TimerLines } from './timer-lines.ts';
import { VirtualClock } from './virtual-clock.ts';

function timersOn(clock: VirtualClock): { timers: TimerLines; wakeups: () => number } {
  let wakeups = 0;
  const timers = new TimerLines({
    now: () => clock.now(),
    wakeAfter: (delayMs, callback) => {
      wakeups += 1;
      clock.after(delayMs, callback);
    },
  });
  return { timers, wakeups: () => wakeups };
}

test('a timer is called once, when its delay is over', () => {
  const clock = new VirtualClock();
  const { timers } = timersOn(clock);
  let calls = 0;
  timers.after(100, () => (calls += 1));
  clock.advance(99);
  assert.equal(calls, 0);
  clock.advance(1);
  assert.equal(calls, 1);
  clock.advance(1000);
  assert.equal(calls, 1);
});

test('many timers of one delay share a wake-up, however many are cancelled', () => {
  const clock = new VirtualClock();
  const { timers, wakeups } = timersOn(clock);
  for (let i = 0; i < 1000; i += 1) timers.after(1000, () => assert.fail('cancelled')).cancel();
  assert.equal(wakeups(), 1);
  clock.advance(5000);
  assert.equal(wakeups(), 1);
});

test('a timer can be refreshed while it waits, in its own callback and after it has fired, but not when cancelled', () => {
  const clock = new VirtualClock();
  const { timers } = timersOn(clock);
  const called: number[] = [];
  const timer = timers.after(100, () => {
    called.push(clock.now());
    if (called.length === 1) timer.refresh();
  });
  clock.advance(50);
  timer.refresh();
  clock.advance(500);
  assert.deepEqual(called, [150, 250]);
  timer.refresh();
  clock.advance(500);
  assert.deepEqual(called, [150, 250, 650]);
  timer.refresh();
  timer.cancel();
  timer.refresh();
  clock.advance(500);
  assert.equal(called.length, 3);
});

test('a callback may cancel the timer behind it, and set another one without delay', () => {
  const clock = new VirtualClock();
  const { timers } = timersOn(clock);
  let later = 0;
  timers.after(10, () => {
    second.cancel();
    timers.after(0, () => (later += 1));
  });
  const second = timers.after(10, () => assert.fail('cancelled'));
  clock.advance(10);
  assert.equal(later, 0);
  clock.advance(1);
  assert.equal(later, 1);
});

test('a delay longer than any wake-up is waited for in parts', () => {
  const clock = new VirtualClock();
  const { timers } = timersOn(clock);
  let calls = 0;
  timers.after(3 * 2 ** 30, () => (calls += 1));
  clock.advance(2 ** 31);
  assert.equal(calls, 0);
  clock.advance(2 ** 30);
  assert.equal(calls, 1);
});

test('however timers are set, refreshed and cancelled, each is called when its last delay is over', () => {
  const action = fc.record({
    kind: fc.constantFrom('set', 'cancel', 'refresh', 'wait'),
    delay: fc.constantFrom(1, 5, 20),
    which: fc.nat(),
  });
  fc.assert(
    fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
      const clock = new VirtualClock();
      const { timers } = timersOn(clock);
      const all: {
        timer: ReturnType<TimerLines['after']>;
        delay: number;
        due: number | undefined;
        dead: boolean;
      }[] = [];
      const set = (delay: number): void => {
        const entry = {
          delay,
          due: (clock.now() + delay) as number | undefined,
          dead: false,
          timer: timers.after(delay, () => {
            assert.equal(clock.now(), entry.due);
            entry.due = undefined;
          }),
        };
        all.push(entry);
      };
      for (const { kind, delay, which } of actions) {
        const entry = all[which % Math.max(1, all.length)];
        if (kind === 'set') set(delay);
        else if (kind === 'wait') clock.advance(delay);
        else if (entry && kind === 'cancel') {
          entry.timer.cancel();
          entry.due = undefined;
          entry.dead = true;
        } else if (entry && kind === 'refresh') {
          entry.timer.refresh();
          if (!entry.dead) entry.due = clock.now() + entry.delay;
        }
      }
      clock.advance(100);
      assert.ok(all.every(({ due }) => due === undefined));
    }),
  );
});

test('a timer set by one that fires does not hold up those of the same delay that were set before', () => {
  const clock = new VirtualClock();
  const { timers } = timersOn(clock);
  const called: string[] = [];
  const repeat = (): void => {
    called.push(`repeat ${String(clock.now())}`);
    timers.after(100, repeat);
  };
  timers.after(100, repeat);
  clock.advance(60);
  timers.after(100, () => called.push(`once ${String(clock.now())}`));
  clock.advance(150);
  assert.deepEqual(called, ['repeat 100', 'once 160', 'repeat 200']);
});
