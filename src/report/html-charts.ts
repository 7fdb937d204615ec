import { heatMap } from './svg/heat-map.ts';
import { lineChart, seriesClass, X_SPAN, Y_SPAN, type Point, type Series } from './svg/line-chart.ts';
import { element, escapeText, short } from './svg/markup.ts';
import { linearScale, logScale } from './svg/scale.ts';
import { dataTable } from './html-tables.ts';
import { workerLabels } from './worker-labels.ts';

const CURVE_POINTS = 120;
const TABLE_SHARES = [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1];

/** What the maps need of one run. */
export interface Charted {
  readonly contender: string;
  readonly sample: { readonly load: LoadGrid };
}

/** Requests at each worker at evenly spaced moments: `requests[moment * workers + worker]`. */
export interface LoadGrid {
  readonly workers: number;
  /** Moments. */
  readonly count: number;
  readonly intervalMs: number;
  readonly requests: ArrayLike<number>;
}

/**
 * What share of the requests had at most that time, per policy. `times` picks the times, ms, of a policy's run; `run` says
 * which one it is where there are several.
 */
export function distribution<One extends Pick<Charted, 'contender'>>(
  id: string,
  what: string,
  { rows }: { readonly rows: readonly One[] },
  times: (row: One) => Float64Array,
  run?: string,
): string {
  const of = run === undefined ? '' : `, ${run}`;
  const sorted = rows.map((row) =>
    times(row)
      .filter((time) => !Number.isNaN(time))
      .map((time) => time / 1000)
      .sort(),
  );
  const least = Math.min(...sorted.map((values) => values.find((value) => value > 0) ?? Infinity));
  const most = Math.max(...sorted.map((values) => values.at(-1) ?? -Infinity));
  if (most < 0) return element('p', {}, escapeText(`No request had a ${what}.`));
  const series = rows.map(({ contender }, style): Series => ({
    name: contender,
    style,
    points: curve(sorted[style]),
  }));
  const chart = lineChart({
    ...{ id, title: `${what}: distribution`, xLabel: `${what}, seconds`, yLabel: 'share of requests' },
    description: `One curve per policy: how many requests had at most that ${what}. The table below has the numbers.`,
    x: logScale(least, most, X_SPAN),
    y: linearScale(1, Y_SPAN),
    series,
  });
  const table = dataTable(
    `${what}, seconds${of}: that share of the requests had no more`,
    ['policy', ...TABLE_SHARES.map((share) => `${String(100 * share)}%`)],
    rows.map(({ contender }, index) => [
      contender,
      ...TABLE_SHARES.map((share) => threeDigits(quantile(sorted[index], share))),
    ]),
  );
  return figure(chart, `${what}${of}. Further left is better; the upper end is the tail.`, table);
}

/** Of seconds, as many digits as say something. */
function threeDigits(value: number): string {
  const digits = value < 1 ? 3 : value < 10 ? 2 : value < 100 ? 1 : 0;
  return value.toFixed(digits);
}

function quantile(sorted: Float64Array | undefined, share: number): number {
  if (sorted === undefined || sorted.length === 0) return NaN;
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? NaN;
}

/** Denser towards the tail, where the policies differ. */
function curve(sorted: Float64Array | undefined): Point[] {
  return Array.from({ length: CURVE_POINTS + 1 }, (_, index) => {
    const share = 1 - (1 - index / CURVE_POINTS) ** 1.5;
    return { x: quantile(sorted, share), y: share };
  });
}

const MOST_COLUMNS = 120;
const MOST_ROWS = 32;

export interface Maps {
  readonly rows: readonly Charted[];
  /** What the workers are called; they are numbered unless given. */
  readonly workers?: readonly string[];
  /** Which run it is, where there are several. */
  readonly run?: string | undefined;
}

/** One map per policy: which workers had how many requests when. */
export function loadMaps(id: string, { rows, workers, run }: Maps): string {
  if (!rows.some(({ sample }) => sample.load.count > 0))
    return element('p', {}, 'No load was sampled: the run was too short.');
  const maps = rows.map(({ sample }) => coarse(sample.load, workers));
  const most = Math.max(1, ...maps.flatMap(({ cells }) => cells.flat()));
  const pictures = rows.map(({ contender }, index) => {
    const { cells, labels, names, seconds } = maps[index] ?? EMPTY;
    const means = cells.map((row) => row.reduce((sum, value) => sum + value, 0) / Math.max(1, row.length));
    const svg = heatMap({
      ...{ id: `${id}-${String(index)}`, rowLabels: labels, rows: cells, most },
      title: `${contender}: requests on each worker over time`,
      description: `Mean between ${short(Math.min(...means))} and ${short(Math.max(...means))} requests per worker. The table below has each worker.`,
      endLabel: `${seconds < 10 ? short(seconds) : String(Math.round(seconds))} s`,
    });
    return element(
      'div',
      { 'data-series': index },
      element('h4', { class: seriesClass(index) }, escapeText(contender)),
      svg,
      details(
        dataTable(
          'Requests there, running or waiting',
          ['worker', 'mean', 'peak'],
          cells.map((row, worker) => [
            names[worker] ?? '',
            (means[worker] ?? 0).toFixed(1),
            String(Math.max(0, ...row)),
          ]),
        ),
      ),
    );
  });
  return element(
    'figure',
    {},
    element('div', { class: 'charts maps' }, ...pictures),
    element(
      'figcaption',
      {},
      escapeText(
        `Rows are workers, time runs to the right, a stronger colour is more requests (running or waiting); the strongest is ${short(most)}. ` +
          `Stripes of one row are a hot worker, stripes of one moment a burst. Where workers or moments share a cell, it shows the most of them${run === undefined ? '' : `; ${run}`}.`,
      ),
    ),
  );
}

interface Coarse {
  readonly cells: readonly (readonly number[])[];
  /** Beside the rows of the picture, and in the table. */
  readonly labels: readonly string[];
  readonly names: readonly string[];
  readonly seconds: number;
}

const EMPTY: Coarse = { cells: [], labels: [], names: [], seconds: 0 };

/** So many rows and columns as can be seen. */
function coarse(load: LoadGrid, workers: readonly string[] | undefined): Coarse {
  const shown = workers && workerLabels(workers);
  const perRow = Math.max(1, Math.ceil(load.workers / MOST_ROWS));
  const perColumn = Math.max(1, Math.ceil(load.count / MOST_COLUMNS));
  const cells: number[][] = [];
  const labels: string[] = [];
  const names: string[] = [];
  for (let first = 0; first < load.workers; first += perRow) {
    const last = Math.min(load.workers, first + perRow);
    const [from, to] = [String(first + 1), String(last)];
    labels.push(shown?.[first] ?? (from === to ? from : `${from}–${to}`));
    names.push(workers?.slice(first, last).join(', ') ?? labels.at(-1) ?? '');
    const row: number[] = [];
    for (let start = 0; start < load.count; start += perColumn) {
      let most = 0;
      for (let at = start; at < Math.min(load.count, start + perColumn); at += 1)
        for (let worker = first; worker < last; worker += 1)
          most = Math.max(most, load.requests[at * load.workers + worker] ?? 0);
      row.push(most);
    }
    cells.push(row);
  }
  return { cells, labels, names, seconds: (load.count * load.intervalMs) / 1000 };
}

/** A picture with its caption, and the same numbers as a table for those who open it. */
export function figure(svg: string, caption: string, table: string): string {
  return element('figure', {}, svg, element('figcaption', {}, escapeText(caption)), details(table));
}

/** For those who open it. */
export function details(table: string, summary = 'as a table'): string {
  return element('details', {}, element('summary', {}, escapeText(summary)), table);
}
