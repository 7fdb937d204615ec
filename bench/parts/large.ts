import { find, type BenchRun } from '../bench-run.ts';
import type { Measured } from '../load/protocol.ts';
import { barBesidePeers } from '../peers/bar.ts';
import { number, times, type PartReport } from '../report.ts';
import { differenceOf, errorsOf, inRounds, medianOf, ratioOf, ratioOfAdded, type Rounds } from '../rounds.ts';
import { BARE, DIRECT, NGINX, ROUTER, ROUTER_CACHE_AWARE } from '../targets.ts';
import { addressOf, cpuPerRequest, warmUp } from './request.ts';

const PER_SECOND = 60;

/** Prompts of 220 kB: long conversations, whole documents. */
export async function largePart(run: BenchRun): Promise<PartReport> {
  const targets = await run.targets([DIRECT, NGINX, BARE, ROUTER, ROUTER_CACHE_AWARE]);
  await warmUp(run, targets);
  const all = await inRounds('large bodies', targets, run.options.rounds, (target) =>
    run.load.measure({
      kind: 'open',
      target: addressOf(target),
      body: 'large',
      ratePerSecond: PER_SECOND,
      arrivals: run.options.arrivals,
      warmupMs: run.ms(500),
      windowMs: run.ms(1_500),
    }),
  );
  const direct = find(all, DIRECT);
  const bare = find(all, BARE);
  const added = (rounds: Rounds | undefined, read: (result: Measured) => number): number =>
    rounds && direct && rounds !== direct ? differenceOf(rounds, direct, read) : NaN;
  const router = find(all, ROUTER);
  const cost = (rounds: Rounds): number => medianOf(rounds, cpuPerRequest);
  const addedP50 = (rounds: Rounds): number => added(rounds, p50);
  return {
    table: {
      title: `Chat completions, 220 kB body, not streamed, ${PER_SECOND} requests/s`,
      columns: ['target', 'CPU us/request', 'x bare', 'p50 ms', 'p99 ms', 'added p50', 'added p99', 'errors'],
      rows: all.map((rounds) => [
        rounds.target,
        rounds === direct ? '-' : number(medianOf(rounds, cpuPerRequest)),
        bare && rounds !== direct ? times(ratioOf(rounds, bare, cpuPerRequest)) : '-',
        number(medianOf(rounds, p50)),
        number(medianOf(rounds, p99)),
        number(added(rounds, p50)),
        number(added(rounds, p99)),
        String(errorsOf(rounds)),
      ]),
    },
    bars: [
      barBesidePeers('CPU per request, 220 kB', 1, all, router, cost, (one, other) =>
        ratioOf(one, other, cpuPerRequest),
      ),
      barBesidePeers(...(['added p50, 220 kB', 1, all, router, addedP50] as const), (one, other) =>
        ratioOfAdded(addedP50(one), addedP50(other)),
      ),
    ],
    rounds: all,
    data: { rounds: all },
  };
}

function p50({ latency }: Measured): number {
  return latency?.p50 ?? NaN;
}

function p99({ latency }: Measured): number {
  return latency?.p99 ?? NaN;
}
