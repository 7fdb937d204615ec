import type { Arrival } from '../arrive/arrival.ts';
import type { Deadline } from '../arrive/deadline.ts';

/** What comes of it, or `instead` from the moment on in which the signal is aborted. */
export function orAborted<T, I>(signal: AbortSignal, result: Promise<T>, instead: I): Promise<T | I> {
  const aborted = new Promise<I>((resolve) => {
    signal.addEventListener('abort', () => {
      resolve(instead);
    });
  });
  return Promise.race([result, aborted]);
}

/** Runs a step under a signal that is aborted when the client leaves or the request's time is up. */
export async function whileWanted<T>(
  arrival: Arrival,
  deadline: Deadline,
  step: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  deadline.check();
  const cut = new AbortController();
  const abort = (): void => {
    cut.abort();
  };
  arrival.client.onGone(abort);
  deadline.wakes(abort);
  try {
    return await step(cut.signal);
  } finally {
    arrival.client.onGone(undefined);
    deadline.wakes(undefined);
  }
}
