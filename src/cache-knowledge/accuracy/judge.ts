import type { Verdict, VerdictName } from './verdicts.ts';

/** Sums over answers that told how many tokens were cached; in tokens, but for `answers`. */
export interface Accuracy {
  readonly answers: number;
  readonly prompt: number;
  readonly predicted: number;
  readonly actual: number;
  /** By how much predictions were above what was told, and by how much others were below. */
  readonly over: number;
  readonly under: number;
}

/** What is known of one worker, and what its answers told since it was last judged. */
export interface Evidence {
  readonly prefixCaching: boolean | undefined;
  readonly blockSize: number | undefined;
  /** The one that is configured, where one is. */
  readonly expectedBlockSize: number | undefined;
  /** What is wrong with its events, where they are wanted; undefined: nothing. */
  readonly eventsMissing: string | undefined;
  readonly known: Accuracy;
  /** Answers that told their tokens, but not how many of them were cached. */
  readonly unreported: number;
  /** Prompts that were held by all that is known, and were not found: since then used blocks were more than it keeps. */
  readonly forgotten: number;
}

/** Fewer answers show nothing. */
export const FEWEST_ANSWERS = 20;
/** Of answers, beyond which none is said to be reported. */
const MOST_UNREPORTED = 0.9;
/** Of the prompts' tokens: less is not worth a word. */
const LEAST_PREDICTED = 0.1;
/** Of what was predicted: where less is found the tokens are other ones. */
const LEAST_FOUND = 0.1;
const LEAST_FORGOTTEN = 0.1;

/** Undefined: nothing that it told since says anything new. */
export function judge(evidence: Evidence): Verdict | undefined {
  return settings(evidence) ?? answers(evidence);
}

/** What shows without any answer. */
function settings({
  prefixCaching,
  blockSize,
  expectedBlockSize,
  eventsMissing,
}: Evidence): Verdict | undefined {
  if (prefixCaching === false) return { name: 'prefix_caching_off', finding: 'prefix caching is off' };
  if (blockSize !== undefined && expectedBlockSize !== undefined && blockSize !== expectedBlockSize)
    return {
      name: 'block_size_differs',
      finding: `block size ${blockSize}, expected ${expectedBlockSize}`,
    };
  if (eventsMissing !== undefined) return { name: 'events_off', finding: eventsMissing };
  return undefined;
}

function answers({ known, unreported, forgotten }: Evidence): Verdict | undefined {
  const told = known.answers + unreported;
  if (told >= FEWEST_ANSWERS && unreported >= MOST_UNREPORTED * told)
    return {
      name: 'cached_tokens_not_reported',
      finding: `${unreported} of ${told} answers do not say how many tokens were cached`,
    };
  if (known.answers < FEWEST_ANSWERS) return undefined;
  const { prompt, predicted, actual, over, under } = known;
  const shares = `${percent(predicted, prompt)} of the prompts' tokens predicted, ${percent(actual, prompt)} cached`;
  if (forgotten >= LEAST_FORGOTTEN * known.answers)
    return {
      name: 'cache_thrashing',
      finding: `${forgotten} of ${known.answers} prompts were gone; ${shares}`,
    };
  if (predicted >= LEAST_PREDICTED * prompt && actual < LEAST_FOUND * predicted)
    return { name: 'template_differs', finding: shares };
  return {
    name: 'ok',
    finding: `${shares}; off by ${percent(over + under, prompt)}`,
  };
}

function percent(part: number, whole: number): string {
  return `${whole === 0 ? 0 : Math.round((1000 * part) / whole) / 10}%`;
}

/** They need no answers: without what they go by they are over, whether anybody asks or not. */
const BY_SETTINGS: readonly VerdictName[] = ['prefix_caching_off', 'block_size_differs', 'events_off'];
const OVER: Verdict = { name: 'unknown', finding: 'what was found before is over; too few answers since' };

/** A verdict changes when it is found twice in a row: what is only passing is not told. That all is well at first is no news to wait for. */
export class SteadyVerdict {
  #current: Verdict = { name: 'unknown', finding: 'too few answers by now' };
  #next: VerdictName | undefined;

  get current(): Verdict {
    return this.#current;
  }

  /** Whether it is another one now. */
  take(latest: Verdict | undefined): boolean {
    const found = latest ?? (BY_SETTINGS.includes(this.#current.name) ? OVER : undefined);
    if (found === undefined) return false;
    if (found.name === this.#current.name) {
      this.#current = found;
      this.#next = undefined;
      return false;
    }
    const isFirst = this.#current.name === 'unknown' && found.name === 'ok';
    if (!isFirst && this.#next !== found.name) {
      this.#next = found.name;
      return false;
    }
    this.#current = found;
    this.#next = undefined;
    return true;
  }
}
