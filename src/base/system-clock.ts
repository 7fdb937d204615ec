import type { Clock } from './clock.ts';
import { TimerLines } from './timer-lines.ts';

const timers = new TimerLines({
  now: () => performance.now(),
  wakeAfter: (delayMs, callback) => {
    setTimeout(callback, delayMs).unref();
  },
});

export const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  after: (delayMs, callback) => timers.after(delayMs, callback),
};
