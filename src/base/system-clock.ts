import type { Clock } from './clock.ts';
import { TimerLines } from './timer-lines.ts';

/** A thread that has to wait between two looks is late for the second one; hardly so often. */
const LOOKS = 16;

/** `performance.now()` counts from the start of each thread; this is the system's time, which they have in common. */
const threadBeganAt = Math.max(...Array.from({ length: LOOKS }, () => monotonicMs() - performance.now()));

function monotonicMs(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1e3 + nanoseconds / 1e6;
}

const now = (): number => threadBeganAt + performance.now();

const timers = new TimerLines({
  now,
  wakeAfter: (delayMs, callback) => {
    setTimeout(callback, delayMs).unref();
  },
});

export const systemClock: Clock = {
  now,
  wall: () => Date.now(),
  after: (delayMs, callback) => timers.after(delayMs, callback),
};
