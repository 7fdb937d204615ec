import type { Clock } from '../base/clock.ts';

export type Outcome<T> =
  | { readonly kind: 'done'; readonly value: T }
  | { readonly kind: 'failed'; readonly error: unknown }
  | { readonly kind: 'late' };

/** What `work` comes to within the time. What it comes to later is nobody's concern, an error included. */
export function whenOrAfter<T>(clock: Clock, ms: number, work: () => Promise<T>): Promise<Outcome<T>> {
  return new Promise((resolve) => {
    const timer = clock.after(ms, () => {
      resolve({ kind: 'late' });
    });
    const end = (outcome: Outcome<T>): void => {
      timer.cancel();
      resolve(outcome);
    };
    const fail = (error: unknown): void => {
      end({ kind: 'failed', error });
    };
    try {
      work().then((value) => {
        end({ kind: 'done', value });
      }, fail);
    } catch (error) {
      fail(error);
    }
  });
}
