import { find, type BenchRun } from '../bench-run.ts';
import type { Measured } from '../load/protocol.ts';
import { number, times, type PartReport } from '../report.ts';
import { differenceOf, errorsOf, inRounds, medianOf, ratioOfAdded, type Rounds } from '../rounds.ts';
import { BARE, DIRECT, NGINX, ROUTER, type Target } from '../targets.ts';
import { addressOf, busy, routerMaximum, warmUp } from './request.ts';

const SHARE_OF_MAXIMUM = 0.7;

/** Latency that each target adds at one rate for all: 70% of what this router can take. */
export async function latencyPart(run: BenchRun): Promise<PartReport> {
  const targets = await run.targets([DIRECT, NGINX, BARE, ROUTER]);
  await warmUp(run, targets);
  const router = targets.find(({ name }) => name === ROUTER);
  const rate = Math.round(SHARE_OF_MAXIMUM * (router ? await routerMaximum(run, router) : 5_000));
  const all = await inRounds(`latency at ${rate}/s`, targets, run.options.rounds, (target) =>
    measure(run, target, rate),
  );
  const direct = find(all, DIRECT);
  const added = (rounds: Rounds | undefined, read: (result: Measured) => number): number =>
    rounds && direct && rounds !== direct ? differenceOf(rounds, direct, read) : NaN;
  const bareAdded = added(find(all, BARE), p99);
  const ratio = ratioOfAdded(added(find(all, ROUTER), p99), bareAdded);
  return {
    table: {
      title: `Latency, 2 KiB body, ${rate} requests/s (${SHARE_OF_MAXIMUM * 100}% of the router's maximum), arrivals: ${run.options.arrivals}`,
      columns: [
        'target',
        'p50 ms',
        'p90 ms',
        'p99 ms',
        'added p50',
        'added p99',
        'x bare',
        'busy %',
        'errors',
      ],
      rows: all.map((rounds) => [
        rounds.target,
        number(medianOf(rounds, p50)),
        number(medianOf(rounds, ({ latency }) => latency?.p90 ?? NaN)),
        number(medianOf(rounds, p99)),
        number(added(rounds, p50)),
        number(added(rounds, p99)),
        times(ratioOfAdded(added(rounds, p99), bareAdded)),
        rounds === direct ? '-' : (100 * medianOf(rounds, busy)).toFixed(0),
        String(errorsOf(rounds)),
      ]),
      notes: ['measured from the moment a request was due, whether it could be sent then or not'],
    },
    bars: [
      {
        name: 'added p99 at 70% of the own maximum',
        measured: Number.isFinite(ratio) ? ratio : undefined,
        limit: 1.1,
        unit: 'x bare proxy',
        ...(Number.isFinite(ratio)
          ? {}
          : { note: 'a target is missing, or nothing added was above the noise' }),
      },
    ],
    data: { rate, rounds: all },
  };
}

function measure(run: BenchRun, target: Target, ratePerSecond: number): Promise<Measured> {
  return run.load.measure({
    kind: 'open',
    target: addressOf(target),
    body: 'small',
    ratePerSecond,
    arrivals: run.options.arrivals,
    warmupMs: run.ms(500),
    windowMs: run.ms(3_000),
  });
}

function p50({ latency }: Measured): number {
  return latency?.p50 ?? NaN;
}

function p99({ latency }: Measured): number {
  return latency?.p99 ?? NaN;
}
