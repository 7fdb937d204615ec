import { figure } from '../../report/html-charts.ts';
import { dataTable } from '../../report/html-tables.ts';
import { lineChart, X_SPAN, Y_SPAN, type Series } from '../../report/svg/line-chart.ts';
import { element, escapeText, short } from '../../report/svg/markup.ts';
import { linearScale, logScale } from '../../report/svg/scale.ts';
import { over } from '../fleet/experiment.ts';
import type { Summary } from '../fleet/summary.ts';
import type { Study } from './study.ts';

/** How each policy bears more traffic; nothing where there was one arrival rate only. */
export function kneeCharts(studies: readonly Study[]): string {
  if (studies.length < 2) return '';
  const ordered = [...studies].sort((left, right) => left.speed - right.speed);
  const goodput = ({ goodput }: Summary): number => goodput;
  const ttft = ({ ttftMs }: Summary): number => ttftMs.p90 / 1000;
  return element(
    'section',
    {},
    element('h2', {}, 'The knee'),
    element(
      'p',
      {},
      escapeText(
        'Each arrival rate is a run of its own. Goodput rises with the rate until requests begin to wait too long; where it falls ' +
          'behind, the fleet is full. The policy whose knee is further right serves more from the same engines.',
      ),
    ),
    element(
      'div',
      { class: 'charts' },
      knee('knee-goodput', 'Goodput, requests per second', ordered, goodput, false),
      knee('knee-ttft', 'TTFT p90, seconds', ordered, ttft, true),
    ),
  );
}

function knee(
  id: string,
  what: string,
  studies: readonly Study[],
  pick: (summary: Summary) => number,
  logarithmic: boolean,
): string {
  const names = studies[0]?.rows.map(({ contender }) => contender) ?? [];
  const series = names.map((name, style): Series => ({
    ...{ name, style },
    points: studies.flatMap(({ speed, rows }) => {
      const row = rows[style];
      if (!row) return [];
      const { mean, plusMinus } = over(row, pick);
      return [{ x: speed, y: mean, plusMinus }];
    }),
  }));
  const values = series
    .flatMap(({ points }) => points.map(({ y }) => y))
    .filter((value) => Number.isFinite(value) && value > 0);
  const most = Math.max(...values);
  const chart = lineChart({
    ...{ id, series, marked: true, title: `${what}, by speed`, xLabel: 'speed factor', yLabel: what },
    description: `One curve per policy over ${String(studies.length)} arrival rates. The table below has the numbers.`,
    x: linearScale(studies.at(-1)?.speed ?? 1, X_SPAN),
    y: logarithmic ? logScale(Math.min(...values), most, Y_SPAN) : linearScale(most, Y_SPAN),
  });
  const table = dataTable(
    what,
    ['policy', ...studies.map(({ speed }) => `speed ${String(speed)}`)],
    series.map(({ name, points }) => [
      name,
      ...points.map(({ y, plusMinus = NaN }) =>
        Number.isNaN(plusMinus) ? short(y) : `${short(y)} ±${short(plusMinus)}`,
      ),
    ]),
  );
  return figure(chart, `${what}${logarithmic ? ' (log)' : ''}. Bars are 95% intervals.`, table);
}
