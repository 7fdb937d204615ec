import type { FittedModel } from '../simulate/fit/fit-model.ts';
import { COLUMNS } from '../simulate/study/columns.ts';
import type { Change } from './redecide.ts';
import type { Fidelity, Modelled } from './modelled.ts';
import type { ReplayStudy } from './replay-study.ts';

const SHOWN = COLUMNS.filter(({ short }) => short !== undefined);
const MOST_WORKERS = 16;
const CHANGES_SHOWN = 5;

/** For a terminal. */
export function replayText(study: ReplayStudy): string {
  return [
    ...recorded(study),
    '',
    ...selection(study),
    '',
    ...(study.modelled ? [...estimates(study.modelled), '', ...speeds(study, study.modelled), ''] : []),
    ...changes(study),
    ...study.notes.map((note) => `note: ${note}`),
    '',
  ].join('\n');
}

function recorded({
  log,
  records,
  notReplayed,
  duration,
  policies,
  perWorker,
  rejectedShare,
}: ReplayStudy): string[] {
  const [p50, p90, p99] = [duration.p50, duration.p90, duration.p99].map((ms) => Math.round(ms));
  return [
    `${String(records)} records, ${String(log.requests.length)} replayed on ${String(log.workers.length)} workers, ${String(notReplayed)} not sent to a worker by a policy; ${percent(rejectedShare)} turned away`,
    `latency as recorded (duration_ms): P50 ${String(p50)}  P90 ${String(p90)}  P99 ${String(p99)}`,
    `decided by: ${policies.map(([name, count]) => `${name} ${share(count, log.requests.length)}`).join(', ')}`,
    `recorded placement: ${workersLine(perWorker)}`,
  ];
}

function selection({ candidates, log }: ReplayStudy): string[] {
  const total = log.requests.length;
  const rows = candidates.map(({ candidate, redecided: { same, different, none } }) => [
    candidate.name,
    share(same, total),
    share(different, total),
    share(none, total),
  ]);
  return [
    'Each request decided again, with the loads and caches that the recorded placement had led to:',
    ...table([['config', 'same worker', 'another worker', 'none'], ...rows]),
    ...candidates.map(({ candidate, redecided }) => `${candidate.name}: ${workersLine(redecided.perWorker)}`),
  ];
}

function estimates({ rows, ttft, e2e }: Modelled): string[] {
  return [
    'All requests through the worker model, under each placement:',
    ...table([
      ['placement', ...SHOWN.map(({ short = '' }) => short)],
      ...rows.map(({ name, summary }) => [
        name,
        ...SHOWN.map(({ pick, digits }) => {
          const value = pick(summary);
          return Number.isNaN(value) ? '-' : value.toFixed(digits);
        }),
      ]),
    ]),
    `the model under the recorded placement against what was measured: TTFT ${fidelityText(ttft)}; E2E ${fidelityText(e2e)}`,
    `how far to trust the estimates: TTFT ${trust(ttft)}; E2E ${trust(e2e)}`,
  ];
}

export function fidelityText({ requests, medianError, rankCorrelation }: Fidelity): string {
  if (requests === 0) return 'not measured';
  return `median error ${percent(medianError)}, rank correlation ${rankCorrelation.toFixed(2)} (${String(requests)} requests)`;
}

const GOOD_ERROR = 0.15;
const USABLE_ERROR = 0.4;

export function trust({ requests, medianError }: Fidelity): string {
  if (requests === 0) return 'was not measured';
  if (medianError <= GOOD_ERROR) return 'is reproduced, differences above its error count';
  if (medianError <= USABLE_ERROR) return 'is rough, only configs that are far apart are told apart';
  return 'is not reproduced, do not trust it';
}

function speeds({ log }: ReplayStudy, { fit }: Modelled): string[] {
  if (fit === undefined) return ['engine speeds: not learnt from the log'];
  const rows = [
    ['all', fit.pooled] as const,
    ...log.workers.slice(0, MOST_WORKERS).map((name, index) => [name, fit.perWorker[index]] as const),
  ];
  return [
    'engine speeds as the log shows them (a worker with too few requests counts as all):',
    ...table([
      [
        'worker',
        'prefill tok/s',
        'decode ms',
        '+ ms/request',
        'overhead ms',
        'step tokens',
        'error prefill',
        'R2',
        'error decode',
        'R2',
      ],
      ...rows.map(([name, model]) => [name, ...speedCells(model)]),
    ]),
  ];
}

function speedCells(model: FittedModel | undefined): string[] {
  if (model === undefined) return ['-'];
  return [
    model.prefillTokensPerSecond.toFixed(0),
    model.decodeBaseMs.toFixed(2),
    model.decodePerRequestMs.toFixed(3),
    model.overheadMs.toFixed(1),
    String(model.stepTokens),
    percent(model.prefill.medianError),
    model.prefill.r2.toFixed(2),
    percent(model.decode.medianError),
    model.decode.r2.toFixed(2),
  ];
}

function changes({ candidates }: ReplayStudy): string[] {
  return candidates.flatMap(({ candidate, redecided }) =>
    redecided.changes.length === 0
      ? []
      : [
          `Some requests that ${candidate.name} would send elsewhere:`,
          ...redecided.changes.slice(0, CHANGES_SHOWN).map(changeLine),
          '',
        ],
  );
}

function changeLine({ timestamp, requestId = '', ...change }: Change): string {
  const scores =
    change.chosenScore === undefined || change.recordedScore === undefined
      ? ''
      : `, score ${change.chosenScore.toPrecision(4)} against ${change.recordedScore.toPrecision(4)}`;
  return `  ${timestamp} ${requestId}: ${change.recorded} (${change.recordedReason ?? 'no reason'}) -> ${change.chosen} (${change.reason}${scores})`;
}

function workersLine(counts: readonly number[]): string {
  const total = counts.reduce((sum, count) => sum + count, 0);
  const shown = counts.slice(0, MOST_WORKERS).map((count) => percent(total === 0 ? 0 : count / total));
  return `shares of the workers ${shown.join(' ')}${counts.length > MOST_WORKERS ? ' ...' : ''}`;
}

function table(lines: readonly (readonly string[])[]): string[] {
  const widths = lines[0]?.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  return lines.map((line) =>
    line
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths?.[column] ?? 0) : cell.padStart(widths?.[column] ?? 0),
      )
      .join('  ')
      .trimEnd(),
  );
}

function share(count: number, total: number): string {
  return `${String(count)} (${percent(total === 0 ? 0 : count / total)})`;
}

function percent(value: number): string {
  return Number.isNaN(value) ? '-' : `${(100 * value).toFixed(1)}%`;
}
