import { LRUCache } from 'lru-cache';
import type { Clock } from '../base/clock.ts';

/** What one service says of a key. `unavailable`: it did not say; `unasked`: the router had no socket to ask with. */
export type Opinion = 'accepted' | 'refused' | 'unavailable' | 'unasked';

/** Asks one service; never rejects. */
export type AskService = (url: string, key: string, timeoutMs: number) => Promise<Opinion>;

export interface VerdictSettings {
  readonly urls: readonly string[];
  /** How long a yes and a no are believed, ms; 0 = not at all. */
  readonly ttlMs: number;
  readonly refusalTtlMs: number;
  readonly timeoutMs: number;
}

interface Verdict {
  readonly accepted: boolean;
  readonly until: number;
}

const MOST_VERDICTS = 10_000;
/** Keys asked about at once: whoever makes up keys must not make the router flood the services. */
const MOST_QUESTIONS = 256;

/**
 * Whether services elsewhere accept a key. Their answers are kept for a while, by the digest of the key; of those who
 * ask about one key at the same time all hear one answer. That a service could not be asked is never taken for a no.
 *
 * Each thread of a router has its own: a service is asked once about a key by each thread that its requests come to, and the
 * bounds on what is kept and asked at once are a thread's. No answer is believed longer by it.
 */
export class KeyVerdicts {
  readonly #clock: Clock;
  readonly #ask: AskService;
  readonly #known = new LRUCache<string, Verdict>({ max: MOST_VERDICTS });
  readonly #asked = new Map<string, Promise<Opinion>>();
  #settings: VerdictSettings;

  constructor(settings: VerdictSettings, ask: AskService, clock: Clock) {
    this.#settings = settings;
    this.#ask = ask;
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
    const verdict = this.#known.get(sha256);
    if (verdict && this.#clock.now() < verdict.until) return verdict.accepted ? 'accepted' : 'refused';
    const asked = this.#asked.get(sha256);
    if (asked) return asked;
    if (this.#asked.size >= MOST_QUESTIONS) return 'unavailable';
    const answer = this.#askAll(key, sha256, this.#settings);
    this.#asked.set(sha256, answer);
    return answer;
  }

  async #askAll(key: string, sha256: string, settings: VerdictSettings): Promise<Opinion> {
    const { urls, timeoutMs } = settings;
    const opinion = await firstAcceptance(urls.map((url) => this.#ask(url, key, timeoutMs)));
    // An answer of services that are not configured any more is good for those who waited, and for nobody else.
    if (settings !== this.#settings) return opinion;
    this.#asked.delete(sha256);
    if (opinion === 'unavailable' || opinion === 'unasked') return opinion;
    const accepted = opinion === 'accepted';
    const until = this.#clock.now() + (accepted ? settings.ttlMs : settings.refusalTtlMs);
    this.#known.set(sha256, { accepted, until });
    return opinion;
  }
}

/** One acceptance is enough; a refusal counts when all refuse, since the one that did not answer may have accepted. */
function firstAcceptance(opinions: readonly Promise<Opinion>[]): Promise<Opinion> {
  return new Promise((resolve) => {
    let open = opinions.length;
    let all: Opinion = 'refused';
    if (open === 0) resolve(all);
    for (const opinion of opinions) {
      void opinion.then((one) => {
        open -= 1;
        if (one === 'unasked' || (one === 'unavailable' && all === 'refused')) all = one;
        if (one === 'accepted') resolve(one);
        else if (open === 0) resolve(all);
      });
    }
  });
}
