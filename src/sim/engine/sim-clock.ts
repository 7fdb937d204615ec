import type { Clock } from '../../base/clock.ts';
import { systemClock } from '../../base/system-clock.ts';

/** Real time, except that "after 0 ms" means the next turn of the event loop, not the next millisecond. */
export const simClock: Clock = {
  now: () => systemClock.now(),
  wall: () => systemClock.wall(),
  after(delayMs, callback) {
    if (delayMs > 0) return systemClock.after(delayMs, callback);
    let immediate = setImmediate(callback);
    return {
      cancel: () => {
        clearImmediate(immediate);
      },
      refresh: () => {
        clearImmediate(immediate);
        immediate = setImmediate(callback);
      },
    };
  },
};
