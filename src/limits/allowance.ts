import type { Clock } from '../base/clock.ts';

/** What adding up fractions may lose. */
const ROUNDING = 1e-6;

/**
 * An amount that is spent and comes back evenly with time, up to `most`: it starts full. It may be overdrawn by what
 * turned out to cost more than was thought, and is paid back before anything else is granted.
 */
export class Allowance {
  readonly #clock: Clock;
  #most: number;
  #perSecond: number;
  #left: number;
  #at: number;

  /** `perSecond` above 0. */
  constructor(clock: Clock, most: number, perSecond: number) {
    this.#clock = clock;
    this.#most = most;
    this.#perSecond = perSecond;
    this.#left = most;
    this.#at = clock.now();
  }

  get most(): number {
    return this.#most;
  }

  /** Negative while overdrawn. */
  get left(): number {
    const now = this.#clock.now();
    this.#left = Math.min(this.#most, this.#left + ((now - this.#at) / 1000) * this.#perSecond);
    this.#at = now;
    return this.#left;
  }

  /** Other limits from now on. What has been spent stays spent; a debt does not grow by it, and is not forgiven. */
  reconfigure(most: number, perSecond: number): void {
    const { left } = this;
    const spent = this.#most - left;
    this.#most = most;
    this.#perSecond = perSecond;
    this.#left = Math.max(most - spent, Math.min(left, 0));
  }

  /** False, and nothing is spent, when there is not enough. */
  take(amount: number): boolean {
    if (this.left + ROUNDING < amount) return false;
    this.#left -= amount;
    return true;
  }

  /** Corrects what was taken: more is spent (also beyond what is left), or, below 0, given back. */
  correct(amount: number): void {
    this.#left = Math.min(this.#most, this.left - amount);
  }

  /** Time until `amount` can be taken, ms; Infinity when it never can. */
  msUntil(amount: number): number {
    if (amount > this.#most) return Infinity;
    return (Math.max(0, amount - this.left) / this.#perSecond) * 1000;
  }
}
