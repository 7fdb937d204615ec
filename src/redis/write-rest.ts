import type { Clock } from '../base/clock.ts';

const FIRST_MS = 1000;
const LONGEST_MS = 30_000;

/** Leaves writing alone for a while where a server takes none, longer each time it still takes none. Reading goes on. */
export class WriteRest {
  readonly #clock: Pick<Clock, 'now'>;
  #reason: 'full' | 'read_only' | undefined;
  #restMs = FIRST_MS;
  #until = 0;

  constructor(clock: Pick<Clock, 'now'>) {
    this.#clock = clock;
  }

  get rests(): boolean {
    return this.#reason !== undefined && this.#clock.now() < this.#until;
  }

  get reason(): 'full' | 'read_only' {
    return this.#reason ?? 'full';
  }

  /** Whether that is news. */
  refused(reason: 'full' | 'read_only'): boolean {
    // Several were under way when the first of them was refused: that is one refusal.
    if (this.rests && this.#reason === reason) return false;
    const isNews = this.#reason !== reason;
    this.#restMs = isNews ? FIRST_MS : Math.min(LONGEST_MS, this.#restMs * 2);
    this.#reason = reason;
    this.#until = this.#clock.now() + this.#restMs;
    return isNews;
  }

  /** Whether that is news. */
  worked(): boolean {
    const isNews = this.#reason !== undefined;
    this.#reason = undefined;
    return isNews;
  }
}
