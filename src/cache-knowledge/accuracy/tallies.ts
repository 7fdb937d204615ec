import type { ThreadMemory } from '../../base/thread-memory.ts';
import { CACHE_SOURCES, type CacheSource } from '../../routing/policy.ts';
import { MOST_SLOTS } from '../table-memory.ts';
import type { Accuracy } from './judge.ts';

/** Its name in the memory that threads share. */
const REGION = 'cache-tallies';
/** Numbers of each source, and behind them those of the worker. */
const OF_SOURCE = 6;
const UNREPORTED = OF_SOURCE * CACHE_SOURCES.length;
const FORGOTTEN = UNREPORTED + 1;
const WORDS = FORGOTTEN + 1;

export interface Compared {
  readonly source: CacheSource;
  readonly prompt: number;
  readonly predicted: number;
  readonly actual: number;
}

/** What has been told of one worker's cache since ever, by how it was known. */
export interface Tally {
  readonly bySource: Readonly<Record<CacheSource, Accuracy>>;
  readonly unreported: number;
  readonly forgotten: number;
}

/**
 * What was known of the workers' caches against what their answers told, in sums that only grow: each thread has its own, and who
 * wants to know adds them up. Whoever comes to a slot finds the sums of those before it, and has to take them off.
 */
export class CacheTallies {
  readonly #own: Float64Array;
  readonly #all: readonly Float64Array[];

  constructor(memory: ThreadMemory) {
    const bytes = 8 * WORDS * MOST_SLOTS;
    const region = memory.region(REGION, bytes * memory.rows);
    const rows = Array.from(
      { length: memory.rows },
      (_, row) => new Float64Array(region, bytes * row, WORDS * MOST_SLOTS),
    );
    this.#all = rows;
    this.#own = new Float64Array(region, bytes * memory.self, WORDS * MOST_SLOTS);
  }

  compare(slot: number, { source, prompt, predicted, actual }: Compared): void {
    if (slot >= MOST_SLOTS) return;
    const own = this.#own;
    const at = WORDS * slot + OF_SOURCE * CACHE_SOURCES.indexOf(source);
    own[at]! += 1;
    own[at + 1]! += prompt;
    own[at + 2]! += predicted;
    own[at + 3]! += actual;
    own[at + 4]! += Math.max(0, predicted - actual);
    own[at + 5]! += Math.max(0, actual - predicted);
  }

  /** An answer told its tokens, but not how many of them were cached. */
  unreported(slot: number): void {
    if (slot < MOST_SLOTS) this.#own[WORDS * slot + UNREPORTED]! += 1;
  }

  /** A prompt was gone that was to be found. */
  forgotten(slot: number): void {
    if (slot < MOST_SLOTS) this.#own[WORDS * slot + FORGOTTEN]! += 1;
  }

  of(slot: number): Tally {
    const sum = (word: number): number => {
      let total = 0;
      if (slot < MOST_SLOTS) for (const row of this.#all) total += row[WORDS * slot + word]!;
      return total;
    };
    const accuracyOf = (source: CacheSource): Accuracy => {
      const at = OF_SOURCE * CACHE_SOURCES.indexOf(source);
      return {
        ...{ answers: sum(at), prompt: sum(at + 1), predicted: sum(at + 2), actual: sum(at + 3) },
        ...{ over: sum(at + 4), under: sum(at + 5) },
      };
    };
    return {
      bySource: {
        none: accuracyOf('none'),
        predicted: accuracyOf('predicted'),
        lmcache: accuracyOf('lmcache'),
        events: accuracyOf('events'),
      },
      unreported: sum(UNREPORTED),
      forgotten: sum(FORGOTTEN),
    };
  }
}

export const NO_ACCURACY: Accuracy = { answers: 0, prompt: 0, predicted: 0, actual: 0, over: 0, under: 0 };

export function added(one: Accuracy, other: Accuracy): Accuracy {
  return combined(one, other, 1);
}

export function since(now: Accuracy, before: Accuracy): Accuracy {
  return combined(now, before, -1);
}

function combined(one: Accuracy, other: Accuracy, sign: 1 | -1): Accuracy {
  return {
    answers: one.answers + sign * other.answers,
    prompt: one.prompt + sign * other.prompt,
    predicted: one.predicted + sign * other.predicted,
    actual: one.actual + sign * other.actual,
    over: one.over + sign * other.over,
    under: one.under + sign * other.under,
  };
}
