import type { Clock } from '../../base/clock.ts';

/** How waiting for the blocks of a prompt ended. */
export type Arrival = 'arrived' | 'timeout' | 'aborted';

/** Blocks that one worker brings to another, and that are announced apart from its answer. */
export interface Arrivals {
  /** Resolves when `key` has been announced so many times, before or after this call. Never rejects. */
  wait(key: string, times: number, signal: AbortSignal): Promise<Arrival>;
}

/** Calls `onArrived` once, maybe at once. Returns what ends it. */
export type Expect = (key: string, times: number, onArrived: () => void) => () => void;

export interface ArrivalDeps {
  readonly clock: Clock;
  readonly expect: Expect;
  /** Longest wait, ms. */
  readonly timeoutMs: () => number;
  readonly onEnd: (end: Arrival) => void;
}

/** Waits within a time, for announcements of wherever they are received. */
export class AwaitedArrivals implements Arrivals {
  readonly #deps: ArrivalDeps;

  constructor(deps: ArrivalDeps) {
    this.#deps = deps;
  }

  wait(key: string, times: number, signal: AbortSignal): Promise<Arrival> {
    const { clock, expect, timeoutMs, onEnd } = this.#deps;
    return new Promise((resolve) => {
      let forget = (): void => undefined;
      let isOver = false;
      const end = (how: Arrival): void => {
        if (isOver) return;
        isOver = true;
        timer.cancel();
        signal.removeEventListener('abort', onAbort);
        forget();
        onEnd(how);
        resolve(how);
      };
      const onAbort = (): void => end('aborted');
      const timer = clock.after(timeoutMs(), () => end('timeout'));
      signal.addEventListener('abort', onAbort);
      if (signal.aborted) onAbort();
      else forget = expect(key, times, () => end('arrived'));
    });
  }
}
