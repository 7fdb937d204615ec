import { over, type Row } from '../../src/simulate/fleet/experiment.ts';
import { interval, type Interval } from '../../src/simulate/fleet/interval.ts';
import type { Summary } from '../../src/simulate/fleet/summary.ts';
import type { Study } from '../../src/simulate/study/study.ts';
import type { Section } from './sections.ts';

/** What one setting of a section gave: a study per arrival rate. */
export interface Result {
  readonly label: string;
  readonly studies: readonly Study[];
}

type Pick = (summary: Summary) => number;
interface Column {
  readonly title: string;
  readonly pick: Pick;
  readonly digits: number;
}

const HIT: Column = { title: 'hit %', pick: ({ hitRate }) => 100 * hitRate, digits: 1 };
const P50: Column = { title: 'TTFT p50 s', pick: ({ ttftMs }) => ttftMs.p50 / 1000, digits: 2 };
const P90: Column = { title: 'TTFT p90 s', pick: ({ ttftMs }) => ttftMs.p90 / 1000, digits: 2 };
const P99: Column = { title: 'p99 s', pick: ({ ttftMs }) => ttftMs.p99 / 1000, digits: 1 };
const E2E: Column = { title: 'E2E p90 s', pick: ({ e2eMs }) => e2eMs.p90 / 1000, digits: 1 };
const GOOD: Column = { title: 'good %', pick: ({ goodShare }) => 100 * goodShare, digits: 1 };
const GOODPUT: Column = { title: 'goodput/s', pick: ({ goodput }) => goodput, digits: 2 };
const REJECTED: Column = { title: 'lost %', pick: ({ rejectedShare }) => 100 * rejectedShare, digits: 2 };
const SPLIT: Column = { title: 'split %', pick: ({ splitShare }) => 100 * splitShare, digits: 0 };

const PER_LOAD = [HIT, P90, E2E, GOOD];
const PER_ROW = [HIT, P50, P90, P99, E2E, GOOD, GOODPUT, REJECTED];

export function commandsOf({ settings }: Section): string {
  const commands = settings.map(({ args }) =>
    `vllm-router simulate ${args.join(' ')}`.replace('TRACE', '"$TRACE"'),
  );
  return ['```sh', ...commands, '```'].join('\n');
}

export function tableOf({ layout }: Section, results: readonly Result[]): string {
  return layout === 'loads'
    ? results.map(({ studies }) => loadsTable(studies)).join('\n\n')
    : rowsTable(results);
}

function loadsTable(studies: readonly Study[]): string {
  const [first] = studies;
  const heads = studies.flatMap(({ speed }) => PER_LOAD.map(({ title }) => `${title} @${String(speed)}`));
  const lines = (first?.rows ?? []).map(({ contender }, place) => [
    code(contender),
    ...studies.flatMap(({ rows }) => PER_LOAD.map((column) => cell(rows[place], column))),
  ]);
  const rejected = Math.max(
    ...studies.flatMap(({ rows }) => rows.map((row) => over(row, REJECTED.pick).mean)),
  );
  const bounds = first
    ? `No placement can find more cached than ${percent(first.oracle.oneCache)} (one cache of all workers' size) or ` +
      `${percent(first.oracle.unlimited)} (one that never forgets). Requests without an answer: ${rejected.toFixed(1)}%.`
    : '';
  return [markdown(['policy', ...heads], lines), '', bounds].join('\n');
}

function rowsTable(results: readonly Result[]): string {
  const labelled = results.length > 1;
  const columns = results.some(({ studies }) => studies.some(({ rows }) => rows.some(isOfPairs)))
    ? [...PER_ROW, SPLIT]
    : PER_ROW;
  const lines = results.flatMap(({ label, studies }) =>
    studies.flatMap(({ rows }) =>
      rows.map((row) => [
        ...(labelled ? [label] : []),
        code(row.contender),
        ...columns.map((column) => cell(row, column)),
      ]),
    ),
  );
  return markdown([...(labelled ? ['setting'] : []), 'policy', ...columns.map(({ title }) => title)], lines);
}

function isOfPairs({ runs }: Row): boolean {
  return runs.some(({ splitShare }) => !Number.isNaN(splitShare));
}

const OURS = 'least_work';

/** A line per rate: where `least_work` stands among all others, by the difference per seed. */
export function verdictsOf({ id }: Section, results: readonly Result[]): string[][] {
  return results.flatMap(({ studies }) =>
    studies.map(({ speed, rows }) => [
      id,
      String(speed),
      ...[P90, GOOD].map((column) => verdict(rows, column, column === P90 ? 1 : -1)),
    ]),
  );
}

export function verdictTable(lines: readonly (readonly string[])[]): string {
  return markdown(['workload', 'speed', 'TTFT p90', 'good'], lines);
}

/** `sign` 1: lower is better. */
function verdict(rows: readonly Row[], { pick }: Column, sign: number): string {
  const ours = rows.find(({ contender }) => contender === OURS);
  if (ours === undefined) return '-';
  const ahead: string[] = [];
  const level: string[] = [];
  const behind: string[] = [];
  for (const row of rows) {
    if (row === ours) continue;
    const { mean, plusMinus } = difference(row, ours, pick);
    const isLevel = !(Math.abs(mean) > plusMinus);
    (isLevel ? level : sign * mean > 0 ? ahead : behind).push(code(row.contender));
  }
  const parts = [`ahead of ${String(ahead.length)}`];
  if (level.length > 0)
    parts.push(`level with ${level.length > 5 ? String(level.length) : level.join(', ')}`);
  if (behind.length > 0) parts.push(`**behind** ${behind.join(', ')}`);
  return parts.join('; ');
}

/** Same seed, same trace: what is left between the two is what the policies do. */
function difference(row: Row, ours: Row, pick: Pick): Interval {
  return interval(row.runs.map((run, seed) => pick(run) - (ours.runs[seed] ? pick(ours.runs[seed]) : NaN)));
}

function cell(row: Row | undefined, { pick, digits }: Column): string {
  if (row === undefined) return '';
  const { mean, plusMinus } = over(row, pick);
  if (Number.isNaN(mean)) return '-';
  const margin = plusMinus.toFixed(digits);
  return Number(margin) === 0 ? mean.toFixed(digits) : `${mean.toFixed(digits)} ±${margin}`;
}

function markdown(head: readonly string[], lines: readonly (readonly string[])[]): string {
  return [head, head.map(() => '---'), ...lines].map((line) => `| ${line.join(' | ')} |`).join('\n');
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)}%`;
}

function code(name: string): string {
  return `\`${name}\``;
}
