import type { Clock } from '../base/clock.ts';

const FIRST_REST_MS = 1_000;
/** Who has caused none for so long begins with the first again. */
const LONGEST_REST_MS = 60_000;

/** Keeps prompts away from a tokenizer to which one of their size, or a shorter one, has just been too much. They go elsewhere. */
export class SizeBrake {
  readonly #clock: Clock;
  /** Bytes; of a prompt that took too long. */
  #from = Infinity;
  /** Monotonic ms. */
  #until = -Infinity;
  #restMs = FIRST_REST_MS;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether a prompt of so many bytes may be tried. */
  admits(bytes: number): boolean {
    return bytes < this.#from || this.#clock.now() >= this.#until;
  }

  /** A prompt of so many bytes took too long. */
  slow(bytes: number): void {
    const now = this.#clock.now();
    // It was begun before the one that is known.
    if (!this.admits(bytes)) return;
    if (now - this.#until > LONGEST_REST_MS) this.#restMs = FIRST_REST_MS;
    this.#from = bytes;
    this.#until = now + this.#restMs;
    this.#restMs = Math.min(LONGEST_REST_MS, 2 * this.#restMs);
  }
}
