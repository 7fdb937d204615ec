import { plusMinus as plusMinusOf, rowHead, table } from '../../report/html-tables.ts';
import { element } from '../../report/svg/markup.ts';
import { over, type Row } from '../fleet/experiment.ts';
import { interval, type Interval } from '../fleet/interval.ts';
import { columnsOf, type Column } from './columns.ts';
import type { Study } from './study.ts';

/** All numbers of one comparison, with the oracles below. */
export function resultTable({ rows, oracle }: Study): string {
  const share = ({ hitRate }: Row['runs'][number]): number => (100 * hitRate) / oracle.unlimited;
  const shown = columnsOf(rows.flatMap(({ runs }) => runs));
  const columns: readonly Column[] = shown.flatMap((column, index) =>
    index === 0
      ? [column, { short: '', title: 'of possible %', digits: 1, better: 'high', about: '', pick: share }]
      : [column],
  );
  const best = columns.map((column) => amongBest(rows, column));
  const body = rows.map((row, place) =>
    element(
      'tr',
      {},
      rowHead(row.contender),
      ...columns.map((column, index) => cell(over(row, column.pick), column, best[index]?.[place] === true)),
    ),
  );
  const oracleRow = (name: string, hitRate: number): string =>
    element(
      'tr',
      { class: 'oracle' },
      rowHead(name),
      element('td', {}, (100 * hitRate).toFixed(1)),
      element('td', {}, oracle.unlimited > 0 ? ((100 * hitRate) / oracle.unlimited).toFixed(1) : '–'),
      element('td', { colspan: columns.length - 2 }),
    );
  return table(
    (rows[0]?.runs.length ?? 0) > 1
      ? 'Means over the seeds, ± what the mean may be off with 95% confidence. Bold: the best, and what the differences seed by seed do not tell from it.'
      : 'One run of each policy. Bold: the best.',
    ['policy', ...columns.map(({ title }) => title)],
    [...body, oracleRow('one shared cache', oracle.oneCache), oracleRow('most possible', oracle.unlimited)],
  );
}

function cell({ mean, plusMinus }: Interval, { digits }: Column, best: boolean): string {
  if (!Number.isFinite(mean)) return element('td', {}, '–');
  const within = Number.isNaN(plusMinus) ? '' : plusMinusOf(plusMinus.toFixed(digits));
  return element('td', { class: best ? 'best' : undefined }, mean.toFixed(digits), within);
}

/**
 * The best mean, and those that the seeds do not tell from it: all ran on the same traces, so it is the difference seed by
 * seed that counts. From one seed only the best itself.
 */
function amongBest(rows: readonly Row[], { better, pick }: Column): readonly boolean[] {
  if (better === undefined || rows.length < 2) return rows.map(() => false);
  const sign = better === 'low' ? 1 : -1;
  const means = rows.map((row) => sign * over(row, pick).mean);
  const best = rows[means.indexOf(Math.min(...means.filter((mean) => !Number.isNaN(mean))))];
  return rows.map((row) => {
    if (best === undefined || row === best) return row === best;
    const differences = row.runs.map((run, seed) => {
      const other = best.runs[seed];
      return other === undefined ? NaN : pick(run) - pick(other);
    });
    const { mean, plusMinus } = interval(differences);
    return Math.abs(mean) <= (Number.isNaN(plusMinus) ? 0 : plusMinus);
  });
}
