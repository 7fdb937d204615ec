import type { FittedModel } from '../simulate/fit/fit-model.ts';
import type { Line } from '../report/text-table.ts';
import type { Fidelity, Modelled } from './modelled.ts';
import type { ReplayStudy } from './replay-study.ts';

/** The tables that the terminal and the page have in common: heads first, a name at the beginning of each line. */

/** Where each configuration would have sent the requests, beside where they went. */
export function sharesTable({ log, perWorker, candidates }: ReplayStudy): Line[] {
  const columns = [perWorker, ...candidates.map(({ redecided }) => redecided.perWorker)];
  const totals = columns.map((counts) => counts.reduce((sum, count) => sum + count, 0));
  return [
    ['worker', 'recorded', ...candidates.map(({ candidate }) => candidate.name)],
    ...log.workers.map((worker, place) => [
      worker,
      ...columns.map((counts, column) => {
        const total = totals[column] ?? 0;
        return percent(total === 0 ? 0 : (counts[place] ?? 0) / total);
      }),
    ]),
  ];
}

/** How many would have gone to the worker that had them. */
export function selectionTable({ log, candidates }: ReplayStudy): Line[] {
  const total = log.requests.length;
  return [
    ['config', 'same worker', 'another worker', 'none'],
    ...candidates.map(({ candidate, redecided: { same, different, none } }) => [
      candidate.name,
      ...[same, different, none].map((count) => share(count, total)),
    ]),
  ];
}

export interface SpeedTable {
  readonly lines: Line[];
  /** Whose own speed could not be told: it is taken to be that of all. */
  readonly asAll: number;
}

/** Undefined where nothing was learnt from the log. */
export function speedTable({ log }: ReplayStudy, { fit }: Modelled): SpeedTable | undefined {
  if (fit === undefined) return undefined;
  const own = log.workers.flatMap((name, index): Line[] => {
    const model = fit.perWorker[index];
    return model === undefined ? [] : [[name, ...speedCells(model)]];
  });
  const prefill = ['prefill tok/s', 'error', 'R2'];
  const decode = ['decode ms', '+ ms/request', 'error', 'R2'];
  return {
    lines: [
      ['worker', ...prefill, ...decode, 'overhead ms', 'step tokens'],
      ['all', ...speedCells(fit.pooled)],
      ...own,
    ],
    asAll: log.workers.length - own.length,
  };
}

function speedCells(model: FittedModel): string[] {
  return [
    model.prefillTokensPerSecond.toFixed(0),
    percent(model.prefill.medianError),
    model.prefill.r2.toFixed(2),
    model.decodeBaseMs.toFixed(2),
    model.decodePerRequestMs.toFixed(3),
    percent(model.decode.medianError),
    model.decode.r2.toFixed(2),
    model.overheadMs.toFixed(1),
    String(model.stepTokens),
  ];
}

/** What stands over the speeds. */
export function speedCaption({ asAll }: SpeedTable): string {
  const others = asAll === 0 ? '' : `; ${String(asAll)} had too few requests of their own and count as all`;
  return `Engine speeds as the log shows them${others}`;
}

/** How far the estimates can be trusted. */
export function trustTable({ ttft, e2e }: Modelled): Line[] {
  const rows = Object.entries({ TTFT: ttft, E2E: e2e }).map(([name, fidelity]) => [
    name,
    ...fidelityCells(fidelity),
    trust(fidelity),
  ]);
  return [['', 'median error', 'rank correlation', 'requests', ''], ...rows];
}

function fidelityCells({ requests, medianError, rankCorrelation }: Fidelity): string[] {
  return requests === 0
    ? ['-', '-', '0']
    : [percent(medianError), rankCorrelation.toFixed(2), String(requests)];
}

const GOOD_ERROR = 0.15;
const USABLE_ERROR = 0.4;

function trust({ requests, medianError }: Fidelity): string {
  if (requests === 0) return 'was not measured';
  if (medianError <= GOOD_ERROR) return 'reproduced: differences above its error count';
  if (medianError <= USABLE_ERROR) return 'rough: only configs that are far apart are told apart';
  return 'not reproduced: do not trust it';
}

export function share(count: number, total: number): string {
  return `${String(count)} (${percent(total === 0 ? 0 : count / total)})`;
}

export function percent(value: number): string {
  return Number.isNaN(value) ? '-' : `${(100 * value).toFixed(1)}%`;
}
