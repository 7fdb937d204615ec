import type { Summary } from '../fleet/summary.ts';

/** One number of the tables. */
export interface Column {
  /** Over the column on a terminal, where the one before may have said the rest. */
  readonly short: string;
  /** Importance on a terminal, 1 is the highest: as many are shown as fit. Absent: only where all are asked for. */
  readonly rank?: number;
  readonly title: string;
  readonly digits: number;
  /** Which end is the better one, where one is. */
  readonly better?: 'low' | 'high';
  readonly about: string;
  readonly pick: (summary: Summary) => number;
}

export const COLUMNS: readonly Column[] = [
  {
    ...{ short: 'hit %', rank: 1, title: 'cache hits %', digits: 1, better: 'high' },
    about: 'Share of all prompt tokens that engines found in their caches and did not compute.',
    pick: ({ hitRate }) => 100 * hitRate,
  },
  {
    ...{ short: 'TTFT p50 s', rank: 2, title: 'TTFT p50 s', digits: 2, better: 'low' },
    about: 'Time from the arrival of a request to its first token: half of the requests took no longer.',
    pick: ({ ttftMs }) => ttftMs.p50 / 1000,
  },
  {
    ...{ short: 'p90', rank: 3, title: 'TTFT p90 s', digits: 2, better: 'low' },
    about: '90% took no longer. Over requests that got a first token, so read it beside the rejected share.',
    pick: ({ ttftMs }) => ttftMs.p90 / 1000,
  },
  {
    ...{ short: 'p99', rank: 7, title: 'TTFT p99 s', digits: 2, better: 'low' },
    about: '99% took no longer. The last hundredth of a run is few requests: it varies most between seeds.',
    pick: ({ ttftMs }) => ttftMs.p99 / 1000,
  },
  {
    ...{ short: 'E2E p50 s', rank: 9, title: 'E2E p50 s', digits: 1, better: 'low' },
    about: 'Time from arrival to the last token, of requests that were answered.',
    pick: ({ e2eMs }) => e2eMs.p50 / 1000,
  },
  {
    ...{ short: 'p90', rank: 11, title: 'E2E p90 s', digits: 1, better: 'low' },
    about: 'The same for 90%. It follows the lengths of the answers more than the policy.',
    pick: ({ e2eMs }) => e2eMs.p90 / 1000,
  },
  {
    ...{ short: 'TPOT p90 ms', rank: 10, title: 'TPOT p90 ms', digits: 1, better: 'low' },
    about: 'Time per output token after the first, the mean of each request.',
    pick: ({ tpotMs }) => tpotMs.p90,
  },
  {
    ...{ short: 'good %', rank: 4, title: 'good %', digits: 1, better: 'high' },
    about: 'Share of all requests that were answered within both objectives.',
    pick: ({ goodShare }) => 100 * goodShare,
  },
  {
    ...{ short: 'goodput/s', rank: 6, title: 'goodput per s', digits: 2, better: 'high' },
    about: 'Good requests per second of the run. The run lasts until its last answer has ended.',
    pick: ({ goodput }) => goodput,
  },
  {
    ...{ short: 'rejected %', rank: 5, title: 'rejected %', digits: 1, better: 'low' },
    about: 'Share that got no whole answer: too long for the engine, nobody there, or cut by a dying engine.',
    pick: ({ rejectedShare }) => 100 * rejectedShare,
  },
  {
    ...{ short: 'busiest/mean', rank: 8, title: 'busiest / mean', digits: 2, better: 'low' },
    about: 'Prompt tokens that the busiest engine computed, over the mean of all: 1 is perfectly even.',
    pick: ({ busiestToMean }) => busiestToMean,
  },
  {
    ...{ short: 'Gini', title: 'Gini', digits: 2, better: 'low' },
    about: 'The same unevenness over all engines: 0 is even, 1 is one engine for everything.',
    pick: ({ gini }) => gini,
  },
  {
    ...{ short: 'preemptions', title: 'preemptions', digits: 0, better: 'low' },
    about: 'How often an engine ran out of KV blocks and began a request again.',
    pick: ({ preemptions }) => preemptions,
  },
  {
    ...{ short: 'hit error %', title: 'hit error %', digits: 1, better: 'low' },
    about: 'How far the hits that the policy expected were from the real ones, in the mean, of the prompt.',
    pick: ({ hitPredictionError }) => 100 * hitPredictionError,
  },
];

/** Shown only where requests may be split. */
const SPLIT: Column = {
  ...{ short: 'split %', rank: 4, title: 'split %', digits: 1 },
  about: 'Share of all requests whose prompt one engine computed and whose answer another one.',
  pick: ({ splitShare }) => 100 * splitShare,
};

/** The columns that have something to say of these runs. */
export function columnsOf(runs: readonly Summary[]): readonly Column[] {
  return runs.some(({ splitShare }) => !Number.isNaN(splitShare)) ? [...COLUMNS, SPLIT] : COLUMNS;
}

/** Those of a table on a terminal, with `wide` all of them. */
export function terminalColumns(wide: boolean, runs: readonly Summary[]): readonly Column[] {
  return columnsOf(runs).filter(({ rank }) => wide || rank !== undefined);
}
