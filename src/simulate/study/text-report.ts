import { fitTables, leftOutNote, LINE_WIDTH, textTable, type Line } from '../../report/text-table.ts';
import { over, type Row } from '../fleet/experiment.ts';
import type { Interval } from '../fleet/interval.ts';
import { terminalColumns, type Column } from './columns.ts';
import type { Study } from './study.ts';

/** For a terminal: one table per arrival rate, and the goodput over all of them. `wide`: every column, however long the lines. */
export function textReport(studies: readonly Study[], wide = false): string {
  const columns = terminalColumns(
    wide,
    studies.flatMap(({ rows }) => rows.flatMap(({ runs }) => runs)),
  );
  const whole = studies.map((study) => tableOf(study, columns));
  const { tables, leftOut } = wide
    ? { tables: whole, leftOut: [] }
    : fitTables(
        whole,
        columns.map(({ rank = Infinity }) => rank),
      );
  const width = wide ? Infinity : LINE_WIDTH;
  const titles = columns.map(({ title }) => title);
  return [
    ...studies.flatMap(({ trace, speed }, index) => [
      `${trace.name}: ${String(trace.requests.length)} requests, speed ${String(speed)}`,
      ...textTable(tables[index] ?? [], width),
      '',
    ]),
    ...knee(studies),
    ...leftOutNote(titles, leftOut).flatMap((note) => [note, '']),
  ].join('\n');
}

function tableOf({ rows, oracle }: Study, columns: readonly Column[]): Line[] {
  const oracleRow = (name: string, hitRate: number): Line => [
    name,
    ...columns.map((_, index) => (index === 0 ? (100 * hitRate).toFixed(1) : '')),
  ];
  return [
    ['policy', ...columns.map(({ short }) => short)],
    ...rows.map((row) => [
      row.contender,
      ...columns.map(({ pick, digits }) => showInterval(over(row, pick), digits)),
    ]),
    oracleRow('(one shared cache)', oracle.oneCache),
    oracleRow('(most possible)', oracle.unlimited),
  ];
}

const SPEEDS_IN_A_LINE = 6;

/** Where goodput stops rising with the arrival rate, policy by policy. Nothing for one rate. */
function knee(studies: readonly Study[]): string[] {
  if (studies.length < 2) return [];
  const ordered = [...studies].sort((left, right) => left.speed - right.speed);
  const lines: string[] = [];
  for (let from = 0; from < ordered.length; from += SPEEDS_IN_A_LINE) {
    const some = ordered.slice(from, from + SPEEDS_IN_A_LINE);
    const names = some[0]?.rows.map(({ contender }) => contender) ?? [];
    const cells = names.map((name, place) => [name, ...some.map(({ rows }) => goodputOf(rows[place]))]);
    const heads = ['policy', ...some.map(({ speed }) => `speed ${String(speed)}`)];
    lines.push('goodput/s at each speed', ...textTable([heads, ...cells]), '');
  }
  return lines;
}

function goodputOf(row: Row | undefined): string {
  const goodput = row && over(row, (summary) => summary.goodput);
  return goodput ? showInterval(goodput, 2) : '-';
}

/** `12.3 ±0.4`, without the second from one run; `-` where there is no number. */
export function showInterval({ mean, plusMinus }: Interval, digits: number): string {
  if (Number.isNaN(mean)) return '-';
  const value = mean.toFixed(digits);
  return Number.isNaN(plusMinus) ? value : `${value} ±${plusMinus.toFixed(digits)}`;
}
