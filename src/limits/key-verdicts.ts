import { isDeepStrictEqual } from 'node:util';
import { LRUCache } from 'lru-cache';
import type { Clock } from '../base/clock.ts';

/** What one service says of a key. `unavailable`: it did not say; `unasked`: the router had no socket to ask with. */
export type Opinion = 'accepted' | 'refused' | 'unavailable' | 'unasked';

export interface VerdictSettings {
  readonly urls: readonly string[];
  /** How long a yes and a no are believed, ms; 0 = not at all. */
  readonly ttlMs: number;
  readonly refusalTtlMs: number;
  readonly timeoutMs: number;
}

/** What all of them come to. Can be posted. */
export interface Verdict {
  readonly opinion: Opinion;
  /** Monotonic ms; believed before that. */
  readonly until: number;
}

/** Can be posted. */
export interface KeyQuestion {
  readonly key: string;
  /** Its digest. */
  readonly sha256: string;
  readonly terms: VerdictSettings;
}

/** Finds out whether a key is good; never rejects. */
export type Judge = (question: KeyQuestion) => Promise<Verdict>;

/** What nobody is to believe for any time. */
export function unknown(opinion: Opinion): Verdict {
  return { opinion, until: -Infinity };
}

const MOST_VERDICTS = 10_000;
/** Keys asked about at once: whoever makes up keys must not make the router flood the services. */
const MOST_QUESTIONS = 256;

/**
 * Whether services elsewhere accept a key. Their answers are kept for a while, by the digest of the key; of those who
 * ask about one key at the same time all hear one answer. That a service could not be asked is never taken for a no.
 *
 * Of several threads each keeps what it has heard; it asks the one in control, so that services are asked about a key once.
 */
export class KeyVerdicts {
  readonly #clock: Clock;
  readonly #judge: Judge;
  readonly #known = new LRUCache<string, Verdict>({ max: MOST_VERDICTS });
  readonly #asked = new Map<string, Promise<Verdict>>();
  #settings: VerdictSettings;

  constructor(settings: VerdictSettings, judge: Judge, clock: Clock) {
    this.#settings = settings;
    this.#judge = judge;
    this.#clock = clock;
  }

  /** Other services, or other terms: what was said so far does not count any more. */
  reconfigure(settings: VerdictSettings): void {
    this.#settings = settings;
    this.#known.clear();
    this.#asked.clear();
  }

  /** At once where it is known. */
  of(key: string, sha256: string): Opinion | Promise<Opinion> {
    const verdict = this.#knownOf(sha256) ?? this.#find(key, sha256);
    return verdict instanceof Promise ? verdict.then(({ opinion }) => opinion) : verdict.opinion;
  }

  /** For another thread. While settings change its own may be others: what comes of those is not kept here. */
  judge(question: KeyQuestion): Verdict | Promise<Verdict> {
    const { key, sha256, terms } = question;
    if (!isDeepStrictEqual(terms, this.#settings)) return this.#judge(question);
    return this.#knownOf(sha256) ?? this.#find(key, sha256);
  }

  #knownOf(sha256: string): Verdict | undefined {
    const verdict = this.#known.get(sha256);
    return verdict && this.#clock.now() < verdict.until ? verdict : undefined;
  }

  #find(key: string, sha256: string): Verdict | Promise<Verdict> {
    const asked = this.#asked.get(sha256);
    if (asked) return asked;
    if (this.#asked.size >= MOST_QUESTIONS) return unknown('unavailable');
    const finding = this.#ask({ key, sha256, terms: this.#settings });
    this.#asked.set(sha256, finding);
    return finding;
  }

  async #ask(question: KeyQuestion): Promise<Verdict> {
    const { sha256, terms } = question;
    const verdict = await this.#judge(question);
    // An answer of services that are not configured any more is good for those who waited, and for nobody else.
    if (terms !== this.#settings) return verdict;
    this.#asked.delete(sha256);
    if (this.#clock.now() < verdict.until) this.#known.set(sha256, verdict);
    return verdict;
  }
}
