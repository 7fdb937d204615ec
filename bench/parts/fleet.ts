import { find, type BenchRun } from '../bench-run.ts';
import { startLoad } from '../load-process.ts';
import { cpuMsBetween, cpuTimes, type CpuTimes } from '../load/process-usage.ts';
import type { Measured } from '../load/protocol.ts';
import { number, times, type PartReport } from '../report.ts';
import { errorsOf, inRounds, medianOf, progress, ratioOf, type Rounds } from '../rounds.ts';
import { ROUTER, ROUTER_CACHE_AWARE, type Target } from '../targets.ts';
import { addressOf, cpuPerRequest, warmUp } from './request.ts';

const MANY = 512;
const CONNECTIONS = 32;
const IDLE_MS = 40_000;
/** While the others have their turns, idle connections come to their end: every worker has to be connected to again. */
const RECONNECT_MS = 1_000;
const POLICIES = [ROUTER, ROUTER_CACHE_AWARE];

/** What hundreds of workers add to a request, and to doing nothing, beside the same router with the four of the other parts. */
export async function fleetPart(run: BenchRun): Promise<PartReport> {
  const fleet = await startLoad(MANY);
  const started: Target[] = [];
  try {
    const small = await run.targets(POLICIES);
    for (const { name } of small) {
      const target = await run.fresh(name, fleet.workerPorts);
      if (target) started.push({ ...target, name: nameOf(name) });
    }
    const loadOf = (target: Target): BenchRun['load'] => (started.includes(target) ? fleet : run.load);
    const measure = (target: Target, warmupMs: number, windowMs: number): Promise<Measured> =>
      loadOf(target).measure({
        ...{ kind: 'closed', target: addressOf(target), body: 'small', connections: CONNECTIONS },
        ...{ warmupMs, windowMs },
      });
    const targets = [...small, ...started];
    for (const target of targets) await warmUp(run, [target], loadOf(target));
    const all = await inRounds('fleet', targets, run.options.rounds, (target) =>
      measure(target, run.ms(RECONNECT_MS), run.ms(1_250)),
    );
    return reportOf(all, await idleShares(run, started));
  } finally {
    await Promise.all(started.map((target) => target.stop()));
    await fleet.stop();
  }
}

function nameOf(router: string): string {
  return `${router}, ${MANY} workers`;
}

/** Share of a core that each takes while nobody asks for anything. */
async function idleShares(run: BenchRun, targets: readonly Target[]): Promise<ReadonlyMap<string, number>> {
  const timesOf = ({ pid }: Target): CpuTimes => (pid === undefined ? new Map() : cpuTimes(pid));
  progress('fleet: idle');
  const before = targets.map(timesOf);
  const from = performance.now();
  await new Promise((resolve) => setTimeout(resolve, run.ms(IDLE_MS)));
  const elapsed = performance.now() - from;
  return new Map(
    targets.map((target, at) => [
      target.name,
      cpuMsBetween(before[at] ?? new Map(), timesOf(target)) / elapsed,
    ]),
  );
}

function reportOf(all: readonly Rounds[], idle: ReadonlyMap<string, number>): PartReport {
  const growth = (name: string): number | undefined => {
    const [few, many] = [find(all, name), find(all, nameOf(name))];
    return few && many && ratioOf(many, few, cpuPerRequest);
  };
  return {
    table: {
      title: `Chat completions, 2 KiB body, not streamed, ${CONNECTIONS} connections, 4 and ${MANY} workers`,
      columns: ['target', 'CPU us/request', 'x 4 workers', 'idle CPU', 'errors'],
      rows: all.map((rounds) => {
        const name = POLICIES.find((one) => nameOf(one) === rounds.target);
        const grown = name === undefined ? undefined : growth(name);
        const share = idle.get(rounds.target);
        return [
          rounds.target,
          number(medianOf(rounds, cpuPerRequest)),
          grown === undefined ? '-' : times(grown),
          share === undefined ? '-' : `${(100 * share).toFixed(1)}%`,
          String(errorsOf(rounds)),
        ];
      }),
    },
    bars: POLICIES.flatMap((name) => [
      {
        name: `CPU per request, ${nameOf(name)}`,
        ...{ measured: growth(name), limit: 1.3, unit: 'x 4 workers' },
      },
      { name: `idle, ${nameOf(name)}`, measured: idle.get(nameOf(name)), limit: 0.01, unit: 'of a core' },
    ]),
    data: { rounds: all, idle: Object.fromEntries(idle) },
  };
}
