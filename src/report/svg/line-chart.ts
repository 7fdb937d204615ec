import { element, escapeText, short } from './markup.ts';
import type { Scale, Span } from './scale.ts';

export interface Point {
  readonly x: number;
  readonly y: number;
  /** How far the true value may lie from `y`; NaN where nothing is known of it. */
  readonly plusMinus?: number;
}

export interface Series {
  readonly name: string;
  /** Chooses the colour and the dashes; the same for one name in all charts. */
  readonly style: number;
  readonly points: readonly Point[];
}

export interface LineChart {
  /** Unique in the page. */
  readonly id: string;
  readonly title: string;
  /** What a reader who does not see it should know. */
  readonly description: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly x: Scale;
  readonly y: Scale;
  readonly series: readonly Series[];
  /** Mark every point, and say what it is when pointed at. */
  readonly marked?: boolean;
}

const WIDTH = 640;
const HEIGHT = 300;
export const X_SPAN: Span = [60, WIDTH - 12];
export const Y_SPAN: Span = [HEIGHT - 44, 12];
const COLOURS = 8;

/** Classes that give a series its colour and its dashes. */
export function seriesClass(style: number): string {
  return `series c${String(style % COLOURS)} d${String(Math.floor(style / COLOURS) % 3)}`;
}

export function lineChart(chart: LineChart): string {
  const { id, title, description } = chart;
  return element(
    'svg',
    {
      ...{ viewBox: `0 0 ${String(WIDTH)} ${String(HEIGHT)}`, role: 'img', class: 'chart' },
      'aria-labelledby': `${id}-t ${id}-d`,
    },
    element('title', { id: `${id}-t` }, escapeText(title)),
    element('desc', { id: `${id}-d` }, escapeText(description)),
    axes(chart),
    ...chart.series.map((series) => seriesGroup(series, chart)),
  );
}

function axes({ x, y, xLabel, yLabel }: LineChart): string {
  const [left, right] = X_SPAN;
  const [bottom, top] = Y_SPAN;
  const down = x.ticks.map(({ value, label }) => {
    const at = x.place(value);
    return (
      element('line', { class: 'grid', x1: at, x2: at, y1: top, y2: bottom }) +
      element('text', { class: 'tick', x: at, y: bottom + 15, 'text-anchor': 'middle' }, escapeText(label))
    );
  });
  const across = y.ticks.map(({ value, label }) => {
    const at = y.place(value);
    return (
      element('line', { class: 'grid', x1: left, x2: right, y1: at, y2: at }) +
      element('text', { class: 'tick', x: left - 6, y: at + 4, 'text-anchor': 'end' }, escapeText(label))
    );
  });
  const middle = (top + bottom) / 2;
  return element(
    'g',
    { 'aria-hidden': 'true' },
    ...down,
    ...across,
    element(
      'text',
      { class: 'label', x: (left + right) / 2, y: bottom + 36, 'text-anchor': 'middle' },
      escapeText(xLabel),
    ),
    element(
      'text',
      {
        ...{ class: 'label', x: 14, y: middle, 'text-anchor': 'middle' },
        transform: `rotate(-90 14 ${short(middle)})`,
      },
      escapeText(yLabel),
    ),
  );
}

function seriesGroup({ name, style, points }: Series, { x, y, marked, yLabel }: LineChart): string {
  const known = points.filter((point) => Number.isFinite(point.x) && Number.isFinite(point.y));
  if (known.length === 0) return '';
  const placed = known.map((point) => `${short(x.place(point.x))} ${short(y.place(point.y))}`);
  const marks = marked === true ? known.map((point) => mark(point)) : [];
  return element(
    'g',
    { class: seriesClass(style), 'data-series': style },
    element('title', {}, escapeText(name)),
    element('path', { class: 'line', d: `M${placed.join('L')}` }),
    ...marks,
  );

  function mark(point: Point): string {
    const { plusMinus = NaN } = point;
    const at = x.place(point.x);
    const bar = Number.isFinite(plusMinus)
      ? element('line', {
          ...{ class: 'bar', x1: at, x2: at },
          ...{ y1: y.place(point.y - plusMinus), y2: y.place(point.y + plusMinus) },
        })
      : '';
    const within = Number.isFinite(plusMinus) ? ` ±${short(plusMinus)}` : '';
    const text = `${name}: ${short(point.y)}${within} ${yLabel} at ${short(point.x)}`;
    return (
      bar +
      element('circle', { cx: at, cy: y.place(point.y), r: 3.5 }, element('title', {}, escapeText(text)))
    );
  }
}
