import type { Clock } from '../base/clock.ts';
import type { SlotId } from './ledger.ts';
import { pairKey } from './transfers.ts';

/** Failures in a row: fewer may be of the prompts. */
const MOST_FAILURES = 3;
const FIRST_REST_MS = 5_000;
const LONGEST_REST_MS = 60_000;
/** Beyond that many pairs the one that has failed longest ago is forgotten. */
const MOST_PAIRS = 4096;

interface Failing {
  failures: number;
  restsUntil: number;
}

/**
 * Pairs of workers between which blocks do not get across, as far as this thread has seen it. Neither of the two is known to be the one at
 * fault, and each may do well with others; so it is the pair that rests: from the third failure in a row on for 5 s, and twice as long each
 * time that it fails again, up to a minute.
 */
export class PairRests {
  readonly #clock: Pick<Clock, 'now'>;
  readonly #failing = new Map<string, Failing>();

  constructor(clock: Pick<Clock, 'now'>) {
    this.#clock = clock;
  }

  /** @returns for how long it rests now, ms; 0 = it does not, or did already. */
  failed(prefill: SlotId, decode: SlotId): number {
    const pair = pairKey(prefill, decode);
    const now = this.#clock.now();
    const failing = this.#failing.get(pair) ?? { failures: 0, restsUntil: 0 };
    this.#failing.delete(pair);
    this.#failing.set(pair, failing);
    if (this.#failing.size > MOST_PAIRS) this.#failing.delete(this.#failing.keys().next().value ?? '');
    // Those that were under way when it began to rest say nothing new.
    if (now < failing.restsUntil) return 0;
    failing.failures++;
    if (failing.failures < MOST_FAILURES) return 0;
    const restMs = Math.min(LONGEST_REST_MS, FIRST_REST_MS * 2 ** (failing.failures - MOST_FAILURES));
    failing.restsUntil = now + restMs;
    return restMs;
  }

  succeeded(prefill: SlotId, decode: SlotId): void {
    if (this.#failing.size > 0) this.#failing.delete(pairKey(prefill, decode));
  }

  isResting(prefill: SlotId, decode: SlotId): boolean {
    if (this.#failing.size === 0) return false;
    const failing = this.#failing.get(pairKey(prefill, decode));
    return failing !== undefined && this.#clock.now() < failing.restsUntil;
  }
}
