import { find, type BenchRun } from '../bench-run.ts';
import { memory } from '../load/process-usage.ts';
import { mebibytes, number, times, type PartReport } from '../report.ts';
import { errorsOf, inRounds, medianOf, progress, ratioOf } from '../rounds.ts';
import { ROUTER, ROUTER_2_THREADS, ROUTER_4_THREADS } from '../targets.ts';
import { addressOf, cpuPerRequest, routerMaximum, warmUp } from './request.ts';

const SHARE_OF_MAXIMUM = 0.3;
/** Enough for the kernel to spread them over threads. */
const CONNECTIONS = 256;
const SETTLE_MS = 3_000;

/** What it costs that several threads act as one router, on one core and far from its limit; and what each takes idle. */
export async function threadsPart(run: BenchRun): Promise<PartReport> {
  const targets = await run.targets([ROUTER, ROUTER_2_THREADS, ROUTER_4_THREADS]);
  progress('threads: memory of those that have done nothing');
  await new Promise((resolve) => setTimeout(resolve, run.ms(SETTLE_MS)));
  const idle = new Map(targets.map(({ name, pid }) => [name, pid === undefined ? NaN : memory(pid).rss]));
  await warmUp(run, targets);
  const router = targets.find(({ name }) => name === ROUTER);
  const rate = Math.round(SHARE_OF_MAXIMUM * (router ? await routerMaximum(run, router) : 8_000));
  const all = await inRounds(`threads at ${rate}/s`, targets, run.options.rounds, (target) =>
    run.load.measure({
      kind: 'open',
      target: addressOf(target),
      body: 'small',
      ratePerSecond: rate,
      arrivals: run.options.arrivals,
      connections: CONNECTIONS,
      warmupMs: run.ms(500),
      windowMs: run.ms(2_000),
    }),
  );
  const one = find(all, ROUTER);
  const two = find(all, ROUTER_2_THREADS);
  const ratio = one && two && ratioOf(two, one, cpuPerRequest);
  const perThread = (idleOf(idle, ROUTER_4_THREADS) - idleOf(idle, ROUTER_2_THREADS)) / 2;
  return {
    table: {
      title: `Threads, 2 KiB body, ${rate} requests/s (${SHARE_OF_MAXIMUM * 100}% of the maximum of one), ${CONNECTIONS} connections in turn, one core for all`,
      columns: ['target', 'CPU us/request', 'x one thread', 'p50 ms', 'p99 ms', 'idle RSS MiB', 'errors'],
      rows: all.map((rounds) => [
        rounds.target,
        number(medianOf(rounds, cpuPerRequest)),
        one ? times(ratioOf(rounds, one, cpuPerRequest)) : '-',
        number(medianOf(rounds, ({ latency }) => latency?.p50 ?? NaN)),
        number(medianOf(rounds, ({ latency }) => latency?.p99 ?? NaN)),
        mebibytes(idleOf(idle, rounds.target)),
        String(errorsOf(rounds)),
      ]),
    },
    bars: [
      { name: 'CPU per request with 2 threads', measured: ratio, limit: 1.1, unit: 'x one thread' },
      {
        name: 'memory of a further thread, idle',
        measured: Number.isFinite(perThread) ? perThread / 1024 / 1024 : undefined,
        limit: 60,
        unit: 'MiB',
      },
    ],
    data: { rate, rounds: all, idle: Object.fromEntries(idle) },
  };
}

function idleOf(idle: ReadonlyMap<string, number>, target: string): number {
  return idle.get(target) ?? NaN;
}
