import { over, type Row } from '../fleet/experiment.ts';
import type { Interval } from '../fleet/interval.ts';
import type { Study } from './study.ts';

const COLUMNS: readonly { readonly title: string; readonly cell: (row: Row) => string }[] = [
  { title: 'policy', cell: ({ contender }) => contender },
  {
    title: 'hit %',
    cell: (row) =>
      show(
        over(row, ({ hitRate }) => 100 * hitRate),
        1,
      ),
  },
  {
    title: 'TTFT p50 s',
    cell: (row) =>
      show(
        over(row, ({ ttftMs }) => ttftMs.p50 / 1000),
        2,
      ),
  },
  {
    title: 'p90',
    cell: (row) =>
      show(
        over(row, ({ ttftMs }) => ttftMs.p90 / 1000),
        2,
      ),
  },
  {
    title: 'p99',
    cell: (row) =>
      show(
        over(row, ({ ttftMs }) => ttftMs.p99 / 1000),
        2,
      ),
  },
  {
    title: 'E2E p50 s',
    cell: (row) =>
      show(
        over(row, ({ e2eMs }) => e2eMs.p50 / 1000),
        1,
      ),
  },
  {
    title: 'p90',
    cell: (row) =>
      show(
        over(row, ({ e2eMs }) => e2eMs.p90 / 1000),
        1,
      ),
  },
  {
    title: 'TPOT p90 ms',
    cell: (row) =>
      show(
        over(row, ({ tpotMs }) => tpotMs.p90),
        1,
      ),
  },
  {
    title: 'good %',
    cell: (row) =>
      show(
        over(row, ({ goodShare }) => 100 * goodShare),
        1,
      ),
  },
  {
    title: 'goodput/s',
    cell: (row) =>
      show(
        over(row, ({ goodput }) => goodput),
        2,
      ),
  },
  {
    title: 'rejected %',
    cell: (row) =>
      show(
        over(row, ({ rejectedShare }) => 100 * rejectedShare),
        1,
      ),
  },
  {
    title: 'busiest/mean',
    cell: (row) =>
      show(
        over(row, ({ busiestToMean }) => busiestToMean),
        2,
      ),
  },
];

/** One table per arrival rate, for a terminal. */
export function textReport(studies: readonly Study[]): string {
  return studies.map(table).join('\n');
}

function table({ trace, speed, rows, oracle }: Study): string {
  const lines = [
    COLUMNS.map(({ title }) => title),
    ...rows.map((row) => COLUMNS.map(({ cell }) => cell(row))),
  ];
  const widths = COLUMNS.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  const body = lines.map((line) =>
    line
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join('  '),
  );
  const [one, unlimited] = [oracle.oneCache, oracle.unlimited].map((rate) => (100 * rate).toFixed(1));
  return [
    `${trace.name}: ${String(trace.requests.length)} requests, speed ${String(speed)}`,
    ...body,
    `hit rates that no placement can beat: ${one ?? ''}% with one cache of all workers' size, ${unlimited ?? ''}% without limit`,
    '',
  ].join('\n');
}

function show({ mean, plusMinus }: Interval, digits: number): string {
  if (Number.isNaN(mean)) return '-';
  const value = mean.toFixed(digits);
  return Number.isNaN(plusMinus) ? value : `${value} ±${plusMinus.toFixed(digits)}`;
}
