import { terminalColumns } from '../simulate/study/columns.ts';
import { fitTables, leftOutNote, LINE_WIDTH, textTable, type Line } from '../report/text-table.ts';
import type { Change } from './redecide.ts';
import type { Modelled } from './modelled.ts';
import type { ReplayStudy } from './replay-study.ts';
import {
  percent,
  selectionTable,
  share,
  sharesTable,
  speedCaption,
  speedTable,
  trustTable,
} from './study-tables.ts';

const MOST_WORKERS = 16;
const CHANGES_SHOWN = 5;

/** For a terminal. `wide`: every column and every worker, however long it gets. */
export function replayText(study: ReplayStudy, wide = false): string {
  return [
    ...recorded(study),
    '',
    ...selection(study, wide),
    '',
    ...(study.modelled
      ? [...estimates(study.modelled, wide), '', ...speeds(study, study.modelled, wide), '']
      : []),
    ...changes(study),
    ...study.notes.map((note) => `note: ${note}`),
    '',
  ].join('\n');
}

function recorded({ log, records, notReplayed, duration, policies, rejectedShare }: ReplayStudy): string[] {
  const [p50, p90, p99] = [duration.p50, duration.p90, duration.p99].map((ms) => Math.round(ms));
  return [
    `${String(records)} records, ${String(log.requests.length)} replayed on ${String(log.workers.length)} workers, ${String(notReplayed)} not sent to a worker by a policy; ${percent(rejectedShare)} turned away`,
    `latency as recorded (duration_ms): P50 ${String(p50)}  P90 ${String(p90)}  P99 ${String(p99)}`,
    `decided by: ${policies.map(([name, count]) => `${name} ${share(count, log.requests.length)}`).join(', ')}`,
  ];
}

function selection(study: ReplayStudy, wide: boolean): string[] {
  const configs = study.candidates.map((_, index) => index + 1);
  return [
    'Each request decided again, with the loads and caches that the recorded placement had led to:',
    ...textTable(selectionTable(study), wide ? Infinity : LINE_WIDTH),
    '',
    'Shares of the workers, as recorded and decided again:',
    ...perWorker(sharesTable(study), [0, ...configs], wide),
  ];
}

/** A table with a line per worker, and not more of them and of its columns than a terminal has room for. */
function perWorker(
  lines: readonly Line[],
  ranks: readonly number[],
  wide: boolean,
  most = MOST_WORKERS,
): string[] {
  if (wide) return textTable(lines, Infinity);
  const { tables, leftOut } = fitTables([lines.slice(0, most + 1)], ranks);
  const hidden = lines.length - 1 - most;
  const titles = lines[0]?.slice(1) ?? [];
  const more = hidden > 0 ? [`and ${String(hidden)} more workers; --wide shows all`] : [];
  return [...textTable(tables[0] ?? []), ...more, ...leftOutNote(titles, leftOut)];
}

function estimates(modelled: Modelled, wide: boolean): string[] {
  const columns = terminalColumns(
    wide,
    modelled.rows.map(({ summary }) => summary),
  );
  const whole: Line[] = [
    ['placement', ...columns.map(({ short }) => short)],
    ...modelled.rows.map(({ name, summary }) => [
      name,
      ...columns.map(({ pick, digits }) => {
        const value = pick(summary);
        return Number.isNaN(value) ? '-' : value.toFixed(digits);
      }),
    ]),
  ];
  const ranks = columns.map(({ rank = Infinity }) => rank);
  const { tables, leftOut } = wide ? { tables: [whole], leftOut: [] } : fitTables([whole], ranks);
  const trust = trustTable(modelled);
  const judgements = trust.map((line) => line.at(-1) ?? '');
  return [
    'All requests through the worker model, under each placement:',
    ...textTable(tables[0] ?? [], wide ? Infinity : LINE_WIDTH),
    ...leftOutNote(
      columns.map(({ title }) => title),
      leftOut,
    ),
    '',
    'How far to trust the estimates: the model under the recorded placement, against what was measured:',
    ...textTable(trust.map((line) => line.slice(0, -1))).map((line, index) =>
      `${line}  ${judgements[index] ?? ''}`.trimEnd(),
    ),
  ];
}

function speeds(study: ReplayStudy, modelled: Modelled, wide: boolean): string[] {
  const table = speedTable(study, modelled);
  if (table === undefined) return ['Engine speeds: not learnt from the log'];
  // The first line is that of all workers.
  return [
    `${speedCaption(table)}:`,
    ...perWorker(table.lines, [1, 5, 6, 2, 3, 7, 8, 4, 9], wide, MOST_WORKERS + 1),
  ];
}

function changes({ candidates }: ReplayStudy): string[] {
  return candidates.flatMap(({ candidate, redecided }) =>
    redecided.changes.length === 0
      ? []
      : [
          `Some requests that ${candidate.name} would send elsewhere${scoreHint(redecided.changes)}:`,
          ...redecided.changes.slice(0, CHANGES_SHOWN).flatMap(changeLines),
          '',
        ],
  );
}

/** Policies that go by turn, chance or hash compute no scores. */
function scoreHint(changes: readonly Change[]): string {
  const scored = changes.some(
    ({ recordedScore, chosenScore }) => recordedScore !== undefined || chosenScore !== undefined,
  );
  return scored ? ' (its scores: lower is better)' : '';
}

function changeLines({ timestamp, requestId = '', ...change }: Change): string[] {
  const score = (value: number | undefined): string =>
    value === undefined ? '' : `, score ${value.toPrecision(4)}`;
  return [
    `  ${timestamp} ${requestId}`,
    `    from ${change.recorded} (${change.recordedReason ?? 'no reason'}${score(change.recordedScore)})`,
    `    to   ${change.chosen} (${change.reason}${score(change.chosenScore)})`,
  ];
}
