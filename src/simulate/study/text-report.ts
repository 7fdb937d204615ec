import { over, type Row } from '../fleet/experiment.ts';
import type { Interval } from '../fleet/interval.ts';
import { COLUMNS } from './columns.ts';
import type { Study } from './study.ts';

const SHOWN = COLUMNS.filter(({ short }) => short !== undefined);

/** One table per arrival rate, for a terminal. */
export function textReport(studies: readonly Study[]): string {
  return studies.map(table).join('\n');
}

function table({ trace, speed, rows, oracle }: Study): string {
  const oracleRow = (name: string, hitRate: number): string[] => [
    name,
    ...SHOWN.map((_, index) => (index === 0 ? (100 * hitRate).toFixed(1) : '')),
  ];
  const lines = [
    ['policy', ...SHOWN.map(({ short = '' }) => short)],
    ...rows.map((row) => [row.contender, ...cellsOf(row)]),
    oracleRow('(one cache of all workers’ size)', oracle.oneCache),
    oracleRow('(most that is possible)', oracle.unlimited),
  ];
  const widths = lines[0]?.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  const body = lines.map((line) =>
    line
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths?.[column] ?? 0) : cell.padStart(widths?.[column] ?? 0),
      )
      .join('  ')
      .trimEnd(),
  );
  return [
    `${trace.name}: ${String(trace.requests.length)} requests, speed ${String(speed)}`,
    ...body,
    '',
  ].join('\n');
}

function cellsOf(row: Row): string[] {
  return SHOWN.map(({ pick, digits }) => showInterval(over(row, pick), digits));
}

/** `12.3 ±0.4`, without the second from one run; `-` where there is no number. */
export function showInterval({ mean, plusMinus }: Interval, digits: number): string {
  if (Number.isNaN(mean)) return '-';
  const value = mean.toFixed(digits);
  return Number.isNaN(plusMinus) ? value : `${value} ±${plusMinus.toFixed(digits)}`;
}
