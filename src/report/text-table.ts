/** Columns of a terminal that a table needs at most, unless all of it is asked for. */
export const LINE_WIDTH = 120;
/** A longer name that leaves no room for the numbers stands on a line of its own, they below it. */
const MOST_NAME = 40;
const GAP = '  ';

/** Cells; the first of them is a name. */
export type Line = readonly string[];

/** Below each other: names on the left, numbers on the right of their columns. The first line has the heads. */
export function textTable(lines: readonly Line[], width = LINE_WIDTH): string[] {
  const widths = cellWidths(lines);
  const most = Math.max(MOST_NAME, width - GAP.length * widths.length - sumOf(widths));
  const nameWidth = nameWidthOf(lines, most);
  return lines.flatMap(([name = '', ...cells]) => {
    const numbers = cells.map((cell, column) => cell.padStart(widths[column] ?? 0)).join(GAP);
    if (name.length > most) return [name, `${' '.repeat(nameWidth)}${GAP}${numbers}`.trimEnd()];
    return [`${name.padEnd(nameWidth)}${GAP}${numbers}`.trimEnd()];
  });
}

export interface Fitted {
  readonly tables: readonly (readonly Line[])[];
  /** Columns that are not in them, counted without the names. */
  readonly leftOut: readonly number[];
}

/**
 * The tables with as many columns as a line has room for, the same in all of them. `ranks` = one number per column
 * without the names, the most important has the lowest.
 */
export function fitTables(tables: readonly (readonly Line[])[], ranks: readonly number[]): Fitted {
  const order = [...ranks.keys()].sort((left, right) => (ranks[left] ?? 0) - (ranks[right] ?? 0));
  const measured = tables.map((lines) => ({ name: nameWidthOf(lines, MOST_NAME), cells: cellWidths(lines) }));
  const widthWith = (columns: readonly number[]): number =>
    Math.max(
      ...measured.map(
        ({ name, cells }) =>
          name + GAP.length * columns.length + sumOf(columns.map((column) => cells[column] ?? 0)),
      ),
    );
  let count = order.length;
  while (count > 1 && widthWith(order.slice(0, count)) > LINE_WIDTH) count -= 1;
  const leftOut = order.slice(count).sort((left, right) => left - right);
  const stays = (cell: number): boolean => cell === 0 || !leftOut.includes(cell - 1);
  return {
    tables: tables.map((lines) => lines.map((line) => line.filter((_, cell) => stays(cell)))),
    leftOut,
  };
}

/** Names the columns that are missing; nothing where none is. */
export function leftOutNote(titles: readonly string[], leftOut: readonly number[]): string[] {
  const missing = leftOut.map((column) => titles[column] ?? '');
  return missing.length === 0 ? [] : [`left out to fit into a line: ${missing.join(', ')}; --wide shows all`];
}

/** Of the names that are no longer than `most`. */
function nameWidthOf(lines: readonly Line[], most: number): number {
  return longest(lines.map(([name = '']) => name).filter(({ length }) => length <= most));
}

function cellWidths(lines: readonly Line[]): readonly number[] {
  const [heads = []] = lines;
  return heads.slice(1).map((_, column) => longest(lines.map((line) => line[column + 1] ?? '')));
}

function longest(texts: readonly string[]): number {
  return texts.reduce((most, { length }) => Math.max(most, length), 0);
}

function sumOf(widths: readonly number[]): number {
  return widths.reduce((sum, width) => sum + width, 0);
}
