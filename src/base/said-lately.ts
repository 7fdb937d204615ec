import type { Clock } from './clock.ts';

const PAUSE_MS = 60_000;
/** Of more than these it is not remembered when they were said. */
const MOST = 256;

/** Lets each thing be said once a minute: whoever causes it can do so as often as he likes. */
export class SaidLately {
  readonly #clock: Pick<Clock, 'now'>;
  readonly #until = new Map<string, number>();

  constructor(clock: Pick<Clock, 'now'>) {
    this.#clock = clock;
  }

  /** Whether it is to be said now; then it counts as said. */
  isDue(what: string): boolean {
    const now = this.#clock.now();
    if (now < (this.#until.get(what) ?? -Infinity)) return false;
    this.#until.delete(what);
    if (this.#until.size === MOST) this.#until.delete(this.#until.keys().next().value ?? '');
    this.#until.set(what, now + PAUSE_MS);
    return true;
  }
}
