import { COLUMNS } from '../simulate/study/columns.ts';
import { details, distribution, loadMaps } from '../report/html-charts.ts';
import { htmlPage, legend } from '../report/html-page.ts';
import { dataTable } from '../report/html-tables.ts';
import { element, escapeText } from '../report/svg/markup.ts';
import type { Modelled } from './modelled.ts';
import type { Redecided } from './redecide.ts';
import type { ReplayStudy } from './replay-study.ts';
import { selectionTable, sharesTable, speedCaption, speedTable, trustTable } from './study-tables.ts';
import type { Line } from '../report/text-table.ts';

const MOST_WORKERS = 16;

/** Everything that replay found, as one self-contained page: tables, curves, load over time, and choices that would change. */
export function replayPage(study: ReplayStudy): string {
  const { log, records, candidates, modelled, notes } = study;
  const title = `${String(log.requests.length)} recorded requests, decided again`;
  return htmlPage(
    title,
    element('h1', {}, escapeText(title)),
    paragraph(
      `${String(records)} records, ${String(log.workers.length)} workers. Latency as recorded (duration_ms): ` +
        `P50 ${ms(study.duration.p50)}, P90 ${ms(study.duration.p90)}, P99 ${ms(study.duration.p99)}.`,
    ),
    modelled ? legend([...modelled.runs.map(({ name }) => name), 'measured']) : '',
    element(
      'main',
      {},
      selection(study),
      modelled ? estimates(study, modelled) : paragraph('The log does not tell enough for the worker model.'),
      ...candidates.map(({ candidate, redecided }) => changes(candidate.name, redecided)),
    ),
    element('section', {}, element('h2', {}, 'Notes'), element('ul', {}, ...notes.map(item))),
  );
}

function selection(study: ReplayStudy): string {
  return element(
    'section',
    {},
    element('h2', {}, 'The same worker, or another'),
    tableOf(
      'Each request decided again, with the loads and caches that the recorded placement had led to',
      selectionTable(study),
    ),
    shares(study),
  );
}

/** Of many workers for those who ask for it. */
function shares(study: ReplayStudy): string {
  const table = tableOf('Shares of the workers, as recorded and decided again', sharesTable(study));
  const { length } = study.log.workers;
  return length <= MOST_WORKERS ? table : details(table, `shares of the ${String(length)} workers`);
}

function tableOf(caption: string, [heads = [], ...rows]: readonly Line[]): string {
  return dataTable(caption, heads, rows);
}

function estimates(study: ReplayStudy, modelled: Modelled): string {
  const { rows, runs, measured } = modelled;
  const curves = [
    ...runs.map(({ name, result }) => ({ contender: name, outcomes: result.outcomes })),
    { contender: 'measured', outcomes: measured },
  ];
  const loads = runs.map(({ name, result }) => ({ contender: name, sample: result }));
  return element(
    'section',
    {},
    element('h2', {}, 'What would have come of it'),
    dataTable(
      'All requests through the worker model, under each placement',
      ['placement', ...COLUMNS.map(({ title }) => title)],
      rows.map(({ name, summary }) => [
        name,
        ...COLUMNS.map(({ pick, digits }) => {
          const value = pick(summary);
          return Number.isNaN(value) ? '-' : value.toFixed(digits);
        }),
      ]),
    ),
    tableOf(
      'How far to trust the estimates: the model under the recorded placement, against what was measured',
      trustTable(modelled),
    ),
    element(
      'div',
      { class: 'charts' },
      distribution('ttft', 'time to first token', { rows: curves }, ({ outcomes }) => outcomes.ttftMs),
      distribution('e2e', 'end to end time', { rows: curves }, ({ outcomes }) => outcomes.e2eMs),
    ),
    element('h3', {}, 'Load of each worker'),
    loadMaps('load', { rows: loads, workers: study.log.workers }),
    element('h3', {}, 'Engine speeds'),
    speeds(study, modelled),
  );
}

function speeds(study: ReplayStudy, modelled: Modelled): string {
  const table = speedTable(study, modelled);
  if (table === undefined) return paragraph('Not learnt from the log: it has too few streamed requests.');
  return tableOf(speedCaption(table), table.lines);
}

function changes(config: string, { changes: sample }: Redecided): string {
  if (sample.length === 0) return '';
  const score = (value: number | undefined): string => (value === undefined ? '-' : value.toPrecision(4));
  return element(
    'section',
    {},
    element('h2', {}, escapeText(`Choices that ${config} would change`)),
    dataTable(
      `A sample, in their order; both scores are those of ${config}, lower is better`,
      ['when', 'request', 'recorded worker', 'why', 'its score', 'other worker', 'why', 'its score'],
      sample.map((change) => [
        change.timestamp,
        change.requestId ?? '-',
        change.recorded,
        change.recordedReason ?? '-',
        score(change.recordedScore),
        change.chosen,
        change.reason,
        score(change.chosenScore),
      ]),
    ),
  );
}

function ms(value: number): string {
  return `${String(Math.round(value))} ms`;
}

function item(text: string): string {
  return element('li', {}, escapeText(text));
}

function paragraph(text: string): string {
  return element('p', {}, escapeText(text));
}
