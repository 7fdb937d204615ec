import type { Awaited, InFlight } from './in-flight.ts';
import { describe, FIRST_TOKENS, LEAST_AWAITED_MS, oldestAwaited, Progress } from './progress.ts';
import type { Tally } from './shared-slots.ts';

/** What a thread has to say of a worker's progress. */
export interface ProgressNews {
  /** The oldest of its requests that are awaited; undefined where there is none. */
  readonly stream: Awaited | undefined;
  readonly whole: Awaited | undefined;
  /** Learnt since the last time, ms. */
  readonly firstTokensMs: readonly number[];
  readonly longestWholeMs: number | undefined;
}

/**
 * The progress of a worker as a request thread sees it: signs are counted where control sees them, the rest is kept until
 * control is told of it. What to think of it is control's.
 */
export class ThreadProgress extends Progress {
  readonly #onGaveUp: (request: Awaited, now: number) => void;
  #firstTokensMs: number[] = [];
  #firstTokens = 0;
  #longestWholeMs: number | undefined;
  #toldStreamAt: number | undefined;
  #toldWholeAt: number | undefined;

  constructor(signs: Tally, onGaveUp: (request: Awaited, now: number) => void) {
    super(signs);
    this.#onGaveUp = onGaveUp;
  }

  override firstToken(tookMs: number): void {
    this.#firstTokensMs[this.#firstTokens % FIRST_TOKENS] = tookMs;
    this.#firstTokens += 1;
  }

  override wholeAnswer(tookMs: number): void {
    this.#longestWholeMs = Math.max(this.#longestWholeMs ?? 0, tookMs);
  }

  override gaveUp(request: Awaited, now: number): void {
    if (now - request.startedAt >= LEAST_AWAITED_MS) this.#onGaveUp(describe(request), now);
  }

  /** Undefined where nothing is new since the last time. */
  news(running: Iterable<InFlight>): ProgressNews | undefined {
    const stream = oldestAwaited(running, ({ streamed }) => streamed);
    const whole = oldestAwaited(running, ({ streamed }) => !streamed);
    const firstTokensMs = this.#firstTokensMs;
    const longestWholeMs = this.#longestWholeMs;
    const isNew =
      stream?.startedAt !== this.#toldStreamAt ||
      whole?.startedAt !== this.#toldWholeAt ||
      firstTokensMs.length > 0 ||
      longestWholeMs !== undefined;
    if (!isNew) return undefined;
    this.#toldStreamAt = stream?.startedAt;
    this.#toldWholeAt = whole?.startedAt;
    this.#firstTokensMs = [];
    this.#firstTokens = 0;
    this.#longestWholeMs = undefined;
    return {
      stream: stream && describe(stream),
      whole: whole && describe(whole),
      firstTokensMs,
      longestWholeMs,
    };
  }
}
