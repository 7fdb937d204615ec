import { columnsOf } from './columns.ts';
import { distribution, loadMaps } from '../../report/html-charts.ts';
import { htmlPage, legend } from '../../report/html-page.ts';
import { dataTable } from '../../report/html-tables.ts';
import { kneeCharts } from './knee-charts.ts';
import { resultTable } from './result-table.ts';
import { commandLine, madeFrom } from './made-from.ts';
import { engineCount, type SimulateOptions } from './options.ts';
import type { Study } from './study.ts';
import { element, escapeText } from '../../report/svg/markup.ts';

/** One self-contained page: the same studies and options give the same bytes. */
export function htmlReport(studies: readonly Study[], options: SimulateOptions): string {
  const [first] = studies;
  const title = `Policies compared on ${first?.trace.name ?? 'nothing'}`;
  return htmlPage(
    title,
    element('h1', {}, escapeText(title)),
    paragraph(
      `${String(first?.trace.requests.length ?? 0)} requests on ${String(engineCount(options))} simulated engines, in virtual time; ` +
        `good means a first token within ${String(options.ttftMs)} ms and ${String(options.tpotMs)} ms per further token. ` +
        `${String(options.seeds)} ${options.seeds === 1 ? 'seed: no intervals, small differences mean nothing' : 'seeds'}.`,
    ),
    legend(first?.rows.map(({ contender }) => contender) ?? []),
    element(
      'main',
      {},
      kneeCharts(studies),
      ...studies.map((study, index) => section(study, index, options)),
    ),
    howToRead(studies, options),
    origin(options),
  );
}

function section(study: Study, index: number, { seeds }: SimulateOptions): string {
  const id = `study${String(index)}`;
  const run = seeds === 1 ? undefined : 'first seed';
  return element(
    'section',
    {},
    element('h2', { id }, escapeText(`Speed ${String(study.speed)}`)),
    resultTable(study),
    element('h3', {}, 'How long requests took'),
    element(
      'div',
      { class: 'charts' },
      distribution(`${id}-ttft`, 'time to first token', study, ({ sample }) => sample.outcomes.ttftMs, run),
      distribution(`${id}-e2e`, 'end to end time', study, ({ sample }) => sample.outcomes.e2eMs, run),
    ),
    element('h3', {}, 'Load of each worker'),
    loadMaps(`${id}-load`, { rows: study.rows, run }),
  );
}

function howToRead(studies: readonly Study[], { seeds }: SimulateOptions): string {
  const runs = studies.flatMap(({ rows }) => rows.flatMap((row) => row.runs));
  const entries: readonly (readonly [string, string])[] = [
    ...columnsOf(runs).map(({ title, about }) => [title, about] as const),
    ['of possible %', 'Cache hits as a share of the most that is possible on this workload.'],
    [
      '± (95% interval)',
      seeds === 1
        ? 'Needs at least two seeds (--seeds 5).'
        : 'From Student’s t over the seeds: were all of it repeated with other seeds, the true mean would lie within in 95 of 100 cases. ' +
          'All policies ran on the same traces: of a difference seed by seed more can be said than of two means whose intervals overlap, and bold print goes by that. Seeds change arrivals and chance, not the engines: what the model leaves out is in no interval.',
    ],
    [
      'one shared cache',
      'Hit rate of one engine with the memory of all workers, least recently used out first, each prompt computed in an instant. What a policy lacks to it is lost by parting the cache. ' +
        'It is no bound: a good partition can outlast a burst that sweeps one cache.',
    ],
    [
      'most possible',
      'Hit rate when every block is computed once and never again. No placement, memory or order of arrival beats it.',
    ],
    [
      'What the model is',
      'Engines with continuous batching, chunked prefill, a paged cache and preemption, whose steps take a time linear in their tokens. Routers with this program’s own registry, books and policies. ' +
        'Left out: the network, the router’s own time, caching of generated tokens before they come back as a prompt, and everything that makes a step’s time other than linear. Read differences between policies, not absolute times.',
    ],
  ];
  return element(
    'section',
    {},
    element('h2', {}, 'How to read it'),
    element(
      'dl',
      {},
      ...entries.map(
        ([term, about]) => element('dt', {}, escapeText(term)) + element('dd', {}, escapeText(about)),
      ),
    ),
  );
}

function origin(options: SimulateOptions): string {
  return element(
    'section',
    {},
    element('h2', {}, 'What it was made from'),
    element('p', {}, element('code', {}, escapeText(commandLine(options)))),
    element(
      'details',
      {},
      element('summary', {}, 'every setting'),
      dataTable('Settings, given or by default', ['setting', 'value'], madeFrom(options)),
    ),
  );
}

function paragraph(text: string): string {
  return element('p', {}, escapeText(text));
}
