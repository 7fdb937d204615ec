import type { Clock } from '../base/clock.ts';
import type { BreakerSettings } from '../config/settings/settings.ts';
import { TakenPermit, type Permit, type Settle } from './permit.ts';

export type BreakerStateName = 'closed' | 'open' | 'half_open';

/** Values of the breaker state gauge. */
export const BREAKER_STATE_CODES = { closed: 0, open: 1, half_open: 2 } as const satisfies Record<
  BreakerStateName,
  number
>;

/** `failedAt`: times of the current run of failures that still lie within the window, oldest first. */
type BreakerState =
  | { readonly name: 'closed'; readonly failedAt: number[] }
  | { readonly name: 'open'; readonly openedAt: number }
  | { readonly name: 'half_open'; trials: number; successes: number };

/** Says whether requests may be sent, and hears how they went. */
export interface Circuit {
  /** Time of the last failure, whatever the state was; `-Infinity` before the first. */
  readonly failedAt: number;
  /** While it is, only a failure changes that. */
  readonly isClosed: boolean;
  state(now: number): BreakerStateName;
  /** Whether a request may be sent now: closed, or half-open with a free trial place. */
  admits(now: number): boolean;
  /**
   * Taken with the lease. It is granted even where `admits` says no, for the one worker that requests go to when
   * breakers exclude all others; such a permit takes no trial place.
   */
  permit(now: number): Permit;
  /** Other thresholds from now on. The state stays as it is; only a breaker that is switched off closes at once. */
  reconfigure(settings: BreakerSettings): void;
}

/**
 * Circuit breaker of one worker. Closed: opens after `failureThreshold` consecutive failures that all lie within the
 * window. Open: after `openMs` it becomes half-open, on the next look. Half-open: `halfOpenTrials` requests at once;
 * any failure opens it again, `successThreshold` successes close it.
 *
 * Outcomes count by when their request was sent: while closed all of them count, while half-open only those of
 * requests sent since then (a stream begun before the outage says nothing about now), while open none.
 */
export class Breaker implements Circuit {
  #settings: BreakerSettings;
  readonly #clock: Clock;
  readonly #onTransition: (from: BreakerStateName, to: BreakerStateName) => void;
  #state: BreakerState = { name: 'closed', failedAt: [] };
  #epoch: number;
  #failedAt = Number.NEGATIVE_INFINITY;

  constructor(
    settings: BreakerSettings,
    clock: Clock,
    onTransition: (from: BreakerStateName, to: BreakerStateName) => void,
    firstEpoch = 0,
  ) {
    this.#settings = settings;
    this.#epoch = firstEpoch;
    this.#clock = clock;
    this.#onTransition = onTransition;
  }

  reconfigure(settings: BreakerSettings): void {
    this.#settings = settings;
    if (!settings.enabled && this.#state.name !== 'closed') this.#become({ name: 'closed', failedAt: [] });
  }

  get failedAt(): number {
    return this.#failedAt;
  }

  get isClosed(): boolean {
    return this.#state.name === 'closed';
  }

  /** Counts its transitions: outcomes of one state are told from those of an earlier one of the same name. */
  get epoch(): number {
    return this.#epoch;
  }

  /** While open, when it opened. */
  get openedAt(): number | undefined {
    return this.#state.name === 'open' ? this.#state.openedAt : undefined;
  }

  /** While closed, the failures that the next success makes forgotten. */
  get counted(): number {
    return this.#state.name === 'closed' ? this.#state.failedAt.length : 0;
  }

  state(now: number): BreakerStateName {
    this.#wake(now);
    return this.#state.name;
  }

  admits(now: number): boolean {
    if (this.#state.name === 'closed') return true;
    this.#wake(now);
    return this.#state.name === 'half_open' && this.#state.trials < this.#settings.halfOpenTrials;
  }

  permit(now: number): Permit {
    this.#wake(now);
    const state = this.#state;
    const trial = state.name === 'half_open' && state.trials < this.#settings.halfOpenTrials;
    if (trial) state.trials += 1;
    return new TakenPermit(this.#settle, this.#epoch, trial, trial || state.name === 'closed');
  }

  /** What came of a request that was sent in that epoch, with a permit that somebody else gave. */
  count(outcome: 'success' | 'failure', epoch: number, now: number): void {
    if (outcome === 'success') this.#succeeded(epoch);
    else this.#failed(epoch, now);
  }

  /** Its time is up, as somebody else has seen. */
  wake(): void {
    if (this.#state.name === 'open') this.#become({ name: 'half_open', trials: 0, successes: 0 });
  }

  readonly #settle: Settle<boolean> = (outcome, epoch, trial) => {
    const state = this.#state;
    if (trial && state.name === 'half_open' && epoch === this.#epoch) state.trials -= 1;
    if (outcome === 'success') this.#succeeded(epoch);
    else if (outcome === 'failure') this.#failed(epoch, this.#clock.now());
  };

  #succeeded(grantedIn: number): void {
    const state = this.#state;
    if (state.name === 'closed') {
      if (state.failedAt.length > 0) state.failedAt.length = 0;
    } else if (state.name === 'half_open' && this.#epoch === grantedIn) {
      state.successes += 1;
      if (state.successes >= this.#settings.successThreshold) this.#become({ name: 'closed', failedAt: [] });
    }
  }

  #failed(grantedIn: number, now: number): void {
    this.#failedAt = now;
    if (!this.#settings.enabled) return;
    const state = this.#state;
    if (state.name === 'closed') {
      const run = state.failedAt;
      run.push(now);
      while ((run[0] ?? now) < now - this.#settings.windowMs) run.shift();
      if (run.length >= this.#settings.failureThreshold) this.#become({ name: 'open', openedAt: now });
    } else if (state.name === 'half_open' && this.#epoch === grantedIn) {
      this.#become({ name: 'open', openedAt: now });
    }
  }

  /** An open breaker whose time is up becomes half-open. */
  #wake(now: number): void {
    const state = this.#state;
    if (state.name === 'open' && now - state.openedAt >= this.#settings.openMs) this.wake();
  }

  #become(next: BreakerState): void {
    const from = this.#state.name;
    this.#state = next;
    this.#epoch += 1;
    this.#onTransition(from, next.name);
  }
}
