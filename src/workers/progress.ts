import type { StallSettings } from '../config/settings/settings.ts';
import type { Awaited, InFlight } from './in-flight.ts';
import { OwnTally, type Tally } from './shared-slots.ts';

/**
 * `suspect`: its requests have been silent for longer than they should be; `stalled`: and a probe got no answer either.
 */
export type ProgressState = 'moving' | 'suspect' | 'stalled';

/** Values of the progress gauge. */
export const PROGRESS_STATE_CODES = { moving: 0, suspect: 1, stalled: 2 } as const satisfies Record<
  ProgressState,
  number
>;

/** Silence is out of the ordinary when it is this many times as long as the longest that was followed by an answer. */
const PATIENCE = 4;
/** Times to the first token that the median is taken of. */
export const FIRST_TOKENS = 31;
/** A silence is remembered for one to two of these. */
const WINDOW_MS = 1_800_000;
/** A client that leaves sooner has changed its mind. */
export const LEAST_AWAITED_MS = 1_000;
/** Nor does one say anything that left after this many times the usual time to the first token. */
const USUAL_WAITS = 2;

/**
 * What a worker lets see of its progress: pieces of its answers, and what its engine counts. vLLM's `/health` is answered
 * beside the engine: one that hangs is only known by its silence. The request path and the load poller report here,
 * `StallWatch` looks at it.
 */
export class Progress {
  readonly #signs: Tally;
  /** Set by `WorkerRegistry.setProgress`. */
  state: ProgressState = 'moving';
  #signsSeen = 0;
  #movedAt = Number.NEGATIVE_INFINITY;
  /** Since when it was silent at the last look, with somebody waiting. */
  #silentSince: number | undefined;
  /** The longest silence that was followed by an answer, in this window; undefined = nothing ever came. */
  #longestMs: number | undefined;
  #longestBeforeMs = 0;
  #windowAt = 0;
  #longestWholeMs: number | undefined;
  readonly #firstTokensMs: number[] = [];
  #firstTokens = 0;
  /** The oldest of those that nobody waits for any more, since the last sign. */
  #givenUp: Awaited | undefined;
  #work: number | undefined;
  #workAt = Number.NEGATIVE_INFINITY;

  constructor(signs: Tally = new OwnTally()) {
    this.#signs = signs;
  }

  /**
   * Pieces of answers that came to this thread, and advances of the engine's counters. Counted up for each, so it costs no
   * clock.
   */
  get signs(): number {
    return this.#signs.own;
  }

  set signs(count: number) {
    this.#signs.own = count;
  }

  /** Those that came to whichever thread. */
  get allSigns(): number {
    return this.#signs.total;
  }

  /** A stream's first token came. */
  firstToken(tookMs: number): void {
    this.#firstTokensMs[this.#firstTokens % FIRST_TOKENS] = tookMs;
    this.#firstTokens += 1;
  }

  /** An answer that is not streamed came. */
  wholeAnswer(tookMs: number): void {
    this.#longestWholeMs = Math.max(this.#longestWholeMs ?? 0, tookMs);
  }

  /** Somebody has given up waiting for the first byte: the worker is not idle for that, and its silence goes on. */
  gaveUp(request: Awaited, now: number): void {
    const patientMs = Math.max(LEAST_AWAITED_MS, USUAL_WAITS * this.medianFirstTokenMs);
    if (now - request.startedAt < patientMs) return;
    // A stream says more than an answer in one piece.
    const isMore = request.streamed && this.#givenUp?.streamed === false;
    if (this.#givenUp !== undefined && this.#givenUp.startedAt <= request.startedAt && !isMore) return;
    this.#givenUp = describe(request);
  }

  /** What the engine itself counts of its work: tokens, steps, finished requests. */
  report(work: number, now: number): void {
    if (this.#work !== undefined && work > this.#work) this.signs += 1;
    this.#work = work;
    this.#workAt = now;
  }

  /** 0 while nothing was learnt. */
  get medianFirstTokenMs(): number {
    const known = this.#firstTokensMs.toSorted((left, right) => left - right);
    return known[known.length >> 1] ?? 0;
  }

  /** How long somebody has been waiting without a sign, as of the last look. */
  silentMs(now: number): number {
    return this.#silentSince === undefined ? 0 : now - this.#silentSince;
  }

  /** False: unless a request is under way, a look at it would change nothing. */
  get isAwaited(): boolean {
    return (
      this.#silentSince !== undefined || this.#givenUp !== undefined || this.allSigns !== this.#signsSeen
    );
  }

  /** To be called every second or so. Returns whether anything came since the last time. */
  look(now: number, running: Iterable<InFlight>): boolean {
    const moved = this.allSigns !== this.#signsSeen;
    if (moved) this.proved(now);
    else this.#silentSince = this.#oldest(running, () => true)?.since;
    return moved;
  }

  /** Whose silence is out of the ordinary, if anybody's. */
  overdue(now: number, running: Iterable<InFlight>, settings: StallSettings): Awaited | undefined {
    const stream = this.#oldest(running, ({ streamed }) => streamed);
    if (stream && now - stream.since > this.#limitMs(stream.request, settings)) return stream.request;
    const whole = this.#oldest(running, ({ streamed }) => !streamed);
    if (!whole) return undefined;
    const limitMs = this.#limitMs(whole.request, settings);
    // Nobody can see how far an answer is that comes in one piece, except by what the engine counts.
    if (this.#workAt - whole.since > limitMs) return whole.request;
    const longest = this.#longestWholeMs;
    const wholeMs = longest === undefined ? settings.maxSilenceMs : PATIENCE * longest;
    return now - whole.since > Math.max(limitMs, wholeMs) ? whole.request : undefined;
  }

  /** It is slow, but it moves: something came, or a probe was answered. */
  proved(now: number): void {
    this.#learn(this.silentMs(now), now);
    this.restart(now);
  }

  /** The time begins anew. Nothing is learnt: its silence had another reason. */
  restart(now: number): void {
    this.#signsSeen = this.allSigns;
    this.#movedAt = now;
    this.#silentSince = undefined;
    this.#givenUp = undefined;
  }

  #learn(silentMs: number, now: number): void {
    // How long it was stalled is not how long it takes.
    if (this.state === 'stalled') return;
    if (now - this.#windowAt > WINDOW_MS) {
      this.#longestBeforeMs = this.#longestMs ?? 0;
      this.#longestMs = 0;
      this.#windowAt = now;
    }
    this.#longestMs = Math.max(this.#longestMs ?? 0, silentMs);
  }

  #limitMs({ expectedMs }: Awaited, { minSilenceMs, maxSilenceMs }: StallSettings): number {
    if (this.#longestMs === undefined) return maxSilenceMs;
    const learnt = PATIENCE * Math.max(this.#longestMs, this.#longestBeforeMs, expectedMs);
    return Math.min(maxSilenceMs, Math.max(minSilenceMs, learnt));
  }

  #oldest(
    running: Iterable<InFlight>,
    is: (request: Awaited) => boolean,
  ): { readonly request: Awaited; readonly since: number } | undefined {
    const oldest = oldestAwaited(running, is, this.#givenUp);
    return oldest && { request: oldest, since: Math.max(this.#movedAt, oldest.startedAt) };
  }
}

/** @param beside One that is waited for, but is in no list. */
export function oldestAwaited(
  running: Iterable<InFlight>,
  is: (request: Awaited) => boolean,
  beside?: Awaited,
): Awaited | undefined {
  let oldest = beside !== undefined && is(beside) ? beside : undefined;
  for (const { awaited } of running)
    if (awaited !== undefined && is(awaited) && !(oldest && oldest.startedAt <= awaited.startedAt))
      oldest = awaited;
  return oldest;
}

/** No more than that of it, for who keeps or posts it. */
export function describe({ startedAt, streamed, expectedMs, route, model }: Awaited): Awaited {
  return { startedAt, streamed, expectedMs, route, model };
}
