import type { Clock } from '../base/clock.ts';
import { SharedNumbers } from '../base/shared-numbers.ts';
import { ownMemory, type ThreadMemory } from '../base/thread-memory.ts';

/** What adding up fractions may lose. */
export const ROUNDING = 1e-6;

/** What threads have in common of it. */
const FULL_AT = 0;
const MOST = 1;
const PER_SECOND = 2;
const GENERATION = 3;
const NUMBERS = 4;

/**
 * An amount that is spent and comes back evenly with time, up to `most`: it starts full. It may be overdrawn by what
 * turned out to cost more than was thought, and is paid back before anything else is granted.
 *
 * All that is known of it is when it will be full, one number, so that threads that spend of one allowance agree on it. Its limits
 * are in their memory as well: those that row 0 says are in force for all of them at once.
 */
export class Allowance {
  readonly #clock: Clock;
  readonly #numbers: SharedNumbers;
  readonly #generation: number;
  readonly #decides: boolean;

  /** `perSecond` above 0. One that row 0 makes where there was one begins anew, and what was taken before is not corrected in it. */
  constructor(
    clock: Clock,
    most: number,
    perSecond: number,
    { memory, region }: { readonly memory: ThreadMemory; readonly region: string } = {
      memory: ownMemory(),
      region: 'allowance',
    },
  ) {
    this.#clock = clock;
    this.#numbers = new SharedNumbers(memory.region(region, 8 * NUMBERS));
    this.#decides = memory.self === 0;
    if (this.#decides) {
      this.set(most, perSecond, most);
      this.#numbers.set(GENERATION, this.#numbers.get(GENERATION) + 1);
    }
    this.#generation = this.#numbers.get(GENERATION);
  }

  get most(): number {
    return this.#numbers.get(MOST);
  }

  /** Negative while overdrawn. */
  get left(): number {
    return this.#leftWhenFullAt(this.#numbers.get(FULL_AT), this.#clock.now());
  }

  /**
   * Other limits from now on. What has been spent stays spent; a debt does not grow by it, and is not forgiven.
   */
  reconfigure(most: number, perSecond: number): void {
    const { left } = this;
    const spent = this.most - left;
    this.set(most, perSecond, Math.max(most - spent, Math.min(left, 0)));
  }

  /**
   * Other limits, and so much left under them: row 0 says it, from elsewhere nothing happens. What another thread spends in this
   * very moment may go by the limits before, or be forgotten: that is one request in a reload.
   */
  set(most: number, perSecond: number, left: number): void {
    if (!this.#decides) return;
    this.#numbers.set(MOST, most);
    this.#numbers.set(PER_SECOND, perSecond);
    this.#numbers.set(FULL_AT, this.#clock.now() + ((most - left) / perSecond) * 1000);
  }

  /** False, and nothing is spent, when there is not enough. */
  take(amount: number): boolean {
    const now = this.#clock.now();
    return this.#numbers.change(FULL_AT, (fullAt) =>
      this.#leftWhenFullAt(fullAt, now) + ROUNDING < amount ? undefined : this.#later(fullAt, now, amount),
    );
  }

  /** Corrects what was taken: more is spent (also beyond what is left), or, below 0, given back. */
  correct(amount: number): void {
    if (this.#numbers.get(GENERATION) !== this.#generation) return;
    const now = this.#clock.now();
    this.#numbers.change(FULL_AT, (fullAt) => this.#later(fullAt, now, amount));
  }

  /** Time until `amount` can be taken, ms; Infinity when it never can. */
  msUntil(amount: number): number {
    if (amount > this.most) return Infinity;
    return (Math.max(0, amount - this.left) / this.#perSecond) * 1000;
  }

  get #perSecond(): number {
    return this.#numbers.get(PER_SECOND);
  }

  #leftWhenFullAt(fullAt: number, now: number): number {
    return this.most - (Math.max(0, fullAt - now) / 1000) * this.#perSecond;
  }

  #later(fullAt: number, now: number, amount: number): number {
    return Math.max(fullAt, now) + (amount / this.#perSecond) * 1000;
  }
}
