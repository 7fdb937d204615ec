import { element, escapeText, short } from './markup.ts';

export interface HeatMap {
  /** Unique in the page. */
  readonly id: string;
  readonly title: string;
  readonly description: string;
  readonly rowLabels: readonly string[];
  /** One row of values per label, all of one length. */
  readonly rows: readonly (readonly number[])[];
  /** The value of the darkest cell. */
  readonly most: number;
  /** What stands below the right end; the left end is 0. */
  readonly endLabel: string;
}

/** Of the cells. */
const SPAN = 286;
const LEAST_LEFT = 34;
const CHARACTER = 6.5;
const LINE = 11;
const LEVELS = 8;
const MOST_HEIGHT = 160;
const MOST_ROW_HEIGHT = 14;

/** Cells of one level are one path, runs of them one box: thousands of cells stay a few kilobytes. */
export function heatMap({ id, title, description, rowLabels, rows, most, endLabel }: HeatMap): string {
  const columns = rows[0]?.length ?? 0;
  const rowHeight = Math.min(MOST_ROW_HEIGHT, MOST_HEIGHT / Math.max(1, rows.length));
  const bottom = rowHeight * rows.length;
  const left = Math.max(LEAST_LEFT, 6 + CHARACTER * Math.max(0, ...rowLabels.map(({ length }) => length)));
  const right = left + SPAN;
  const width = columns === 0 ? 0 : SPAN / columns;
  const boxes = Array.from({ length: LEVELS + 1 }, () => '');
  for (const [index, row] of rows.entries()) {
    for (let from = 0, to: number; from < columns; from = to) {
      const level = levelOf(row[from] ?? 0, most);
      for (to = from + 1; to < columns && levelOf(row[to] ?? 0, most) === level; to += 1);
      if (level === 0) continue;
      const run = short((to - from) * width);
      const box = `M${short(left + from * width)} ${short(index * rowHeight)}h${run}v${short(rowHeight)}h-${run}z`;
      boxes[level] = (boxes[level] ?? '') + box;
    }
  }
  return element(
    'svg',
    {
      ...{ viewBox: `0 0 ${short(right)} ${short(bottom + 16)}`, role: 'img', class: 'heat' },
      'aria-labelledby': `${id}-t ${id}-d`,
    },
    element('title', { id: `${id}-t` }, escapeText(title)),
    element('desc', { id: `${id}-d` }, escapeText(description)),
    element('rect', { class: 'ground', x: left, y: 0, width: SPAN, height: bottom }),
    ...boxes.map((d, level) => (d === '' ? '' : element('path', { class: `q${String(level)}`, d }))),
    ...labelled(rowLabels, rowHeight).map(([index, label]) =>
      element(
        'text',
        { class: 'tick', x: left - 4, y: (index + 0.5) * rowHeight + 4, 'text-anchor': 'end' },
        escapeText(label),
      ),
    ),
    element('text', { class: 'tick', x: left, y: bottom + 13 }, '0'),
    element('text', { class: 'tick', x: right, y: bottom + 13, 'text-anchor': 'end' }, escapeText(endLabel)),
  );
}

/** 0 for nothing, else 1 to `LEVELS`. */
function levelOf(value: number, most: number): number {
  return value > 0 && most > 0 ? Math.min(LEVELS, Math.ceil((LEVELS * value) / most)) : 0;
}

/** The first, and as many of the others as are not too close. */
function labelled(labels: readonly string[], rowHeight: number): readonly (readonly [number, string])[] {
  const step = Math.ceil(LINE / rowHeight);
  return [...labels.entries()].filter(([index]) => index % step === 0);
}
