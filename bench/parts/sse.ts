import { find, type BenchRun } from '../bench-run.ts';
import { memory } from '../load/process-usage.ts';
import type { Measured } from '../load/protocol.ts';
import { mebibytes, number, times, type PartReport } from '../report.ts';
import { errorsOf, inRounds, medianOf, ratioOf } from '../rounds.ts';
import { BARE, NGINX, ROUTER, ROUTER_NO_LOG } from '../targets.ts';
import { addressOf } from './request.ts';

const STREAMS = 200;
const PACE = { events: 100, stepMs: 10 };

/** Streams of 100 events, each event sent by itself as an engine's step emits it. */
export async function ssePart(run: BenchRun): Promise<PartReport> {
  const targets = await run.targets([NGINX, BARE, ROUTER, ROUTER_NO_LOG]);
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
  const router = find(all, ROUTER);
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
    bars: [
      {
        name: 'CPU per streamed event',
        measured: router && nginx ? ratioOf(router, nginx, cpuPerEvent) : undefined,
        limit: 1.3,
        unit: 'x nginx',
        ...(nginx ? {} : { note: run.missing.get(NGINX) ?? 'nginx left out' }),
      },
    ],
    data: { rounds: all, peakRss: Object.fromEntries(peaks) },
  };
}

/** Microseconds. */
function cpuPerEvent({ cpuMs, events }: Measured): number {
  return (1000 * cpuMs) / events;
}
