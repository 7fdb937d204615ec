import type { Timer } from '../base/clock.ts';
import type { SharedState } from './shared-state.ts';

/** Drops, now and then, what the predicted index has not used for long; its byte budget holds without that. */
export class IndexSweep {
  readonly #state: SharedState;
  #timer: Timer | undefined;
  #stopped = false;

  constructor(state: SharedState) {
    this.#state = state;
  }

  /** The first one comes after the configured time. */
  start(): void {
    this.#timer?.cancel();
    this.#timer = this.#state.clock.after(this.#state.settings.cacheIndex.evictionIntervalMs, () => {
      this.now();
    });
  }

  now(): void {
    if (this.#stopped) return;
    this.#timer?.cancel();
    // A sweep works in pieces, so that no stream waits for it. The policy may have been switched meanwhile.
    if (this.#state.policies.index?.sweep()) setImmediate(() => this.now());
    else this.start();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }
}
