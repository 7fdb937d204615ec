import { CACHE_SOURCES, EXCLUSION_NAMES } from '../../routing/policy.ts';
import type { CandidateRecord, RecordedLater } from '../record/decision.ts';

/** What of the caches is shown of one candidate: an index into `CACHE_SOURCES`, and tokens elsewhere than on its GPU. */
interface Known {
  readonly source: number;
  readonly cpu: number;
  readonly disk: number;
}

/** Of one candidate: its exclusion, requests running, tokens to prefill, score and matched tokens; NaN = none of that. */
const WIDTH = 5;
/** A copy of numbers is a list of numbers from the beginning. */
const NUMBERS = new Array<number>(8 * WIDTH).fill(NaN);

/** A measure as it is shown: microseconds, where scores are seconds. */
export function roundScore(value: number): number {
  return Math.round(value * 1e6) / 1e6;
}

/**
 * The candidates of one choice, in columns. Every request leaves some behind, most of which nobody looks at before they
 * are dropped: objects are made of them for who does.
 */
export class CandidateColumns implements RecordedLater {
  readonly length: number;
  readonly #workers: string[];
  #entered = 0;
  readonly #numbers: number[];
  /** By candidate, where anything else is known than what was sent there. */
  #known: Known[] | undefined;

  constructor(length: number) {
    this.length = length;
    // So long from the beginning: one that grows takes room for many more.
    this.#workers = new Array<string>(length);
    this.#numbers =
      length * WIDTH <= NUMBERS.length
        ? NUMBERS.slice(0, length * WIDTH)
        : new Array<number>(length * WIDTH).fill(NaN);
  }

  /** Enters the next one. */
  add(worker: string, exclusion: number, running: number, prefillTokens: number): void {
    const at = WIDTH * this.#entered;
    this.#workers[this.#entered] = worker;
    this.#entered += 1;
    this.#numbers[at] = exclusion;
    this.#numbers[at + 1] = running;
    this.#numbers[at + 2] = prefillTokens;
  }

  /** What the policy made of the one that was added last. */
  rate(score: number | undefined, matchedTokens: number | undefined): void {
    const at = WIDTH * (this.#entered - 1);
    if (score !== undefined) this.#numbers[at + 3] = score;
    if (matchedTokens !== undefined) this.#numbers[at + 4] = matchedTokens;
  }

  /** How the matched tokens of the one that was added last are known. */
  know(known: Known): void {
    (this.#known ??= [])[this.#entered - 1] = known;
  }

  records(): CandidateRecord[] {
    return this.#workers.map((worker, index) => {
      const [exclusion = 0, running = 0, prefill = 0, score = NaN, matched = NaN] = this.#numbers.slice(
        WIDTH * index,
        WIDTH * (index + 1),
      );
      return {
        worker,
        state: EXCLUSION_NAMES[exclusion] ?? 'eligible',
        running,
        prefill_tokens: Math.max(0, Math.round(prefill)),
        ...(Number.isNaN(score) ? {} : { score: roundScore(score) }),
        ...(Number.isNaN(matched) ? {} : { matched_tokens: Math.round(matched) }),
        ...(Number.isNaN(matched) ? {} : shownKnowledge(this.#known?.[index], matched)),
      };
    });
  }
}

function shownKnowledge(known: Known | undefined, matched: number): Partial<CandidateRecord> {
  if (known === undefined) return {};
  const { source, cpu, disk } = known;
  return {
    matched_source: CACHE_SOURCES[source] ?? 'none',
    ...(cpu + disk > 0 && { matched_tiers: { gpu: Math.round(matched - cpu - disk), cpu, disk } }),
  };
}
