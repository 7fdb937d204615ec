import type { Clock } from '../base/clock.ts';

/** What the promise comes to, or undefined where it takes longer. */
export async function withinTime<T>(promise: Promise<T>, ms: number, clock: Clock): Promise<T | undefined> {
  const { promise: over, resolve } = Promise.withResolvers<undefined>();
  const timer = clock.after(ms, () => {
    resolve(undefined);
  });
  try {
    return await Promise.race([promise, over]);
  } finally {
    timer.cancel();
  }
}
