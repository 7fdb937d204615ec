import type { Rounds } from './rounds.ts';

/** One of the project's performance targets, and how it came out. */
export interface Bar {
  readonly name: string;
  readonly measured: number | undefined;
  readonly limit: number;
  readonly unit: string;
  /** Why there is no measurement, or what stands in its way. */
  readonly note?: string;
}

export interface Table {
  readonly title: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
  readonly notes?: readonly string[];
}

export interface PartReport {
  readonly table: Table;
  readonly bars: readonly Bar[];
  /** What each target measured, for the table of all parts. */
  readonly rounds?: readonly Rounds[];
  /** What the table was made from, for the JSON file. */
  readonly data: unknown;
}

export function isMet(bar: Bar): boolean | undefined {
  return bar.measured === undefined ? undefined : bar.measured <= bar.limit;
}

export function renderTable(table: Table): string {
  const lines = [table.columns, ...table.rows];
  const widths = table.columns.map((_, column) =>
    Math.max(...lines.map((line) => (line[column] ?? '').length)),
  );
  const render = (line: readonly string[]): string =>
    line
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join('  ');
  const rule = widths.map((width) => '-'.repeat(width)).join('  ');
  const notes = (table.notes ?? []).map((note) => `  ${note}\n`).join('');
  return `${table.title}\n${[render(table.columns), rule, ...table.rows.map(render)].join('\n')}\n${notes}`;
}

export function renderBars(bars: readonly Bar[]): string {
  const rows = bars.map((bar) => {
    const met = isMet(bar);
    const measured = bar.measured === undefined ? 'not measured' : `${number(bar.measured)} ${bar.unit}`;
    return [
      bar.name,
      measured,
      `<= ${number(bar.limit)} ${bar.unit}`,
      met === undefined ? '-' : met ? 'met' : 'NOT MET',
      bar.note ?? '',
    ];
  });
  return renderTable({ title: 'Targets', columns: ['target', 'measured', 'bar', '', ''], rows });
}

/** Three significant digits, whole from 100 on. */
export function number(value: number): string {
  if (!Number.isFinite(value)) return '-';
  if (Math.abs(value) >= 100) return value.toFixed(0);
  return Math.abs(value) >= 10 ? value.toFixed(1) : value.toFixed(2);
}

export function times(ratio: number): string {
  return Number.isFinite(ratio) ? `${ratio.toFixed(2)}x` : '-';
}

export function mebibytes(bytes: number): string {
  return bytes > 0 ? (bytes / 1024 / 1024).toFixed(0) : '-';
}
