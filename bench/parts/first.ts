import type { BenchRun } from '../bench-run.ts';
import { cpuMsBetween, cpuTimes } from '../load/process-usage.ts';
import { number, times, type Bar, type PartReport } from '../report.ts';
import { median, progress } from '../rounds.ts';
import { BARE, ROUTER } from '../targets.ts';
import { addressOf } from './request.ts';

const PER_BLOCK = 500;
const BLOCKS = 50;
/** From here on a process is taken to have come to rest: 20,000 requests. */
const STEADY_FROM = 40;
const CONNECTIONS = 32;
const PROCESSES = 5;
const PROCESSES_WHEN_QUICK = 2;
/** What a process has to do for itself after it has become healthy is done by then. */
const SETTLE_MS = 2_000;
/** Health checks alone take less. */
const OWN_WARM_UP_FROM_MS = 100;
/** Blocks that the table shows. */
const SHOWN = [0, 1, 2, 3, 5, 9, 19];

interface Start {
  /** CPU time between the moment it listens and the first request. */
  readonly settledMs: number;
  /** Microseconds per request, by block. */
  readonly blocks: readonly number[];
  readonly errors: number;
}

/** Fresh processes: what their first requests cost beside those after 20,000. */
export async function firstPart(run: BenchRun): Promise<PartReport> {
  const names = run.names(run.options.quick ? [ROUTER] : [BARE, ROUTER]);
  const starts = new Map<string, Start[]>();
  const processes = run.options.quick ? PROCESSES_WHEN_QUICK : PROCESSES;
  for (let process = 1; process <= processes; process += 1) {
    for (const name of names) {
      progress(`first requests: process ${process} of ${processes}, ${name}`);
      const start = await measure(run, name);
      if (start) starts.set(name, [...(starts.get(name) ?? []), start]);
    }
  }
  const rows = [...starts].map(([target, of]) => summary(target, of));
  const router = rows.find(({ target }) => target === ROUTER);
  return {
    table: {
      title: `First requests of a fresh process, 2 KiB body, ${CONNECTIONS} connections: CPU us/request in blocks of ${PER_BLOCK}; medians of ${processes} processes`,
      columns: [
        'target',
        'before them, ms',
        ...SHOWN.map((block) => `to ${PER_BLOCK * (block + 1)}`),
        `from ${PER_BLOCK * STEADY_FROM}`,
        'first/steady',
        'worst after 5,000',
        'errors',
      ],
      rows: rows.map(({ target, settledMs, blocks, steady, first, worst, errors }) => [
        target,
        number(settledMs),
        ...SHOWN.map((block) => number(blocks[block] ?? NaN)),
        number(steady),
        times(first),
        times(worst),
        String(errors),
      ]),
      notes: [
        `"before them": CPU time from listening to the first request, ${SETTLE_MS / 1000} s after it became healthy, where a process may warm itself up`,
      ],
    },
    bars: bars(router),
    data: rows,
  };
}

interface Summary {
  readonly target: string;
  readonly settledMs: number;
  readonly blocks: readonly number[];
  readonly steady: number;
  readonly first: number;
  readonly worst: number;
  readonly errors: number;
}

/** Ratios are taken within a process, so that a noisy one does not lend its steady state to another. */
function summary(target: string, starts: readonly Start[]): Summary {
  const steadyOf = ({ blocks }: Start): number => median(blocks.slice(STEADY_FROM));
  const ratio = (of: (start: Start) => number): number =>
    median(starts.map((start) => of(start) / steadyOf(start)));
  return {
    target,
    settledMs: median(starts.map(({ settledMs }) => settledMs)),
    blocks: Array.from({ length: BLOCKS }, (_, block) =>
      median(starts.map(({ blocks }) => blocks[block] ?? NaN)),
    ),
    steady: median(starts.map(steadyOf)),
    first: ratio(({ blocks }) => blocks[0] ?? NaN),
    worst: ratio(({ blocks }) => Math.max(...blocks.slice(10))),
    errors: starts.reduce((sum, { errors }) => sum + errors, 0),
  };
}

function bars(router: Summary | undefined): Bar[] {
  const unit = 'x steady state';
  const warmsUp = router !== undefined && router.settledMs >= OWN_WARM_UP_FROM_MS;
  const own = warmsUp ? {} : { note: 'no warm-up of its own was seen' };
  return [
    { name: `the first ${PER_BLOCK} requests, CPU`, measured: router?.first, limit: 6, unit },
    {
      name: `the first ${PER_BLOCK} requests, CPU, after a warm-up of its own`,
      ...{ measured: warmsUp ? router.first : undefined, limit: 4, unit, ...own },
    },
    {
      name: 'the warm-up of its own, CPU from listening to the first request',
      ...{ measured: warmsUp ? router.settledMs : undefined, limit: 300, unit: 'ms', ...own },
    },
  ];
}

async function measure(run: BenchRun, name: string): Promise<Start | undefined> {
  const target = await run.fresh(name);
  if (target?.pid === undefined) return undefined;
  try {
    const before = target.whenListening ?? cpuTimes(target.pid);
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
    const settledMs = cpuMsBetween(before, cpuTimes(target.pid));
    const { cpuMs, errors, problem } = await run.load.count({
      kind: 'counted',
      target: addressOf(target),
      body: 'small',
      connections: CONNECTIONS,
      blocks: BLOCKS,
      perBlock: PER_BLOCK,
    });
    if (errors > 0) progress(`  ${name}: ${errors} errors, first: ${problem ?? ''}`);
    return { settledMs, blocks: cpuMs.map((ms) => (1000 * ms) / PER_BLOCK), errors };
  } finally {
    await target.stop();
  }
}
