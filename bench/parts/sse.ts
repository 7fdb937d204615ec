import { find, type BenchRun } from '../bench-run.ts';
import { memory } from '../load/process-usage.ts';
import type { Measured } from '../load/protocol.ts';
import { barBesidePeers } from '../peers/bar.ts';
import { mebibytes, number, times, type Bar, type PartReport } from '../report.ts';
import { errorsOf, inRounds, medianOf, ratioOf, type Rounds } from '../rounds.ts';
import { BARE, NGINX, ROUTER, ROUTER_CACHE_AWARE, ROUTER_NO_LOG } from '../targets.ts';
import { addressOf, warmUp } from './request.ts';

const STREAMS = 200;
export const PACE = { events: 100, stepMs: 10 };

/** Streams of 100 events, each event sent by itself as an engine's step emits it. */
export async function ssePart(run: BenchRun): Promise<PartReport> {
  const chosen = await run.targets([NGINX, BARE, ROUTER, ROUTER_CACHE_AWARE, ROUTER_NO_LOG]);
  const targets = chosen.filter(({ pid }) => pid !== undefined);
  await warmUp(run, targets);
  const all = await inRounds('streams of 100 events', targets, run.options.rounds, (target) =>
    run.load.measure({
      kind: 'streams',
      target: addressOf(target),
      streams: STREAMS,
      pace: PACE,
      warmupMs: run.ms(250),
      windowMs: run.ms(2_000),
    }),
  );
  const nginx = find(all, NGINX);
  const bare = find(all, BARE);
  const peaks = new Map(targets.map(({ name, pid }) => [name, pid === undefined ? 0 : memory(pid).peak]));
  return {
    table: {
      title: `Streamed chats, ${PACE.events} events each, ${STREAMS} open at a time, an event per stream every ${PACE.stepMs} ms`,
      columns: [
        'target',
        'CPU us/event',
        'x nginx',
        'x bare',
        'events/s',
        'busy %',
        'peak RSS MiB',
        'errors',
      ],
      rows: all.map((rounds) => [
        rounds.target,
        number(medianOf(rounds, cpuPerEvent)),
        nginx ? times(ratioOf(rounds, nginx, cpuPerEvent)) : '-',
        bare ? times(ratioOf(rounds, bare, cpuPerEvent)) : '-',
        number(medianOf(rounds, ({ events, windowMs }) => (1000 * events) / windowMs)),
        (100 * medianOf(rounds, ({ cpuMs, windowMs }) => cpuMs / windowMs)).toFixed(0),
        mebibytes(peaks.get(rounds.target) ?? 0),
        String(errorsOf(rounds)),
      ]),
      notes: ['the request, its head and its end are part of the cost of its events'],
    },
    bars: bars(run, all),
    rounds: all,
    data: { rounds: all, peakRss: Object.fromEntries(peaks) },
  };
}

function bars(run: BenchRun, all: readonly Rounds[]): Bar[] {
  const [nginx, router] = [find(all, NGINX), find(all, ROUTER)];
  return [
    {
      name: 'CPU per streamed event',
      measured: router && nginx ? ratioOf(router, nginx, cpuPerEvent) : undefined,
      limit: 1.6,
      unit: 'x nginx',
      ...(nginx ? {} : { note: run.missing.get(NGINX) ?? 'nginx left out' }),
    },
    barBesidePeers(
      ...(['CPU per streamed event', 0.9, all, router] as const),
      (rounds) => medianOf(rounds, cpuPerEvent),
      (one, other) => ratioOf(one, other, cpuPerEvent),
    ),
  ];
}

/** Microseconds. */
export function cpuPerEvent({ cpuMs, events }: Measured): number {
  return (1000 * cpuMs) / events;
}
