import { RouterError } from '../../base/errors.ts';
import type { Timer } from '../../base/clock.ts';
import type { Attempt } from '../send/attempt.ts';
import type { Runtime } from '../runtime.ts';

/** How long what was written in time, or says that time is up, may take to reach the client. */
const FLUSH_MS = 5_000;

/** The one deadline over queue, backoff and all attempts. */
export class Deadline {
  readonly #rt: Runtime;
  readonly #at: number;
  #timer: Timer;
  #attempt: Attempt | undefined;
  #waiter: (() => void) | undefined;
  /** A timer may be a little early: once it has rung, time is up, whatever the clock says. */
  #over = false;

  /** For a request that arrives now. `onOverdue`: the request has not even ended a moment after its deadline; its client does not read. */
  constructor(rt: Runtime, startedAt: number, onOverdue: () => void) {
    this.#rt = rt;
    this.#at = startedAt + rt.settings.timeouts.requestMs;
    this.#timer = rt.clock.after(rt.settings.timeouts.requestMs, () => {
      this.#over = true;
      this.#timer = rt.clock.after(FLUSH_MS, onOverdue);
      const { code, message } = this.error();
      this.#attempt?.cut(code, message);
      this.#waiter?.();
    });
  }

  get leftMs(): number {
    return this.#over ? 0 : this.#at - this.#rt.clock.now();
  }

  check(): void {
    if (this.leftMs <= 0) throw this.error();
  }

  /** From now on this attempt is the one to cut. */
  covers(attempt: Attempt): void {
    this.#attempt = attempt;
  }

  /** Who waits without an attempt (queue, backoff), or nobody. */
  wakes(waiter: (() => void) | undefined): void {
    this.#waiter = waiter;
  }

  cancel(): void {
    this.#timer.cancel();
  }

  error(): RouterError {
    const seconds = this.#rt.settings.timeouts.requestMs / 1000;
    return new RouterError(
      'deadline_exceeded',
      `the request was not finished within ${seconds} s (request_timeout_secs)`,
    );
  }
}
