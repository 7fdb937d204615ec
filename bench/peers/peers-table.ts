import { find } from '../bench-run.ts';
import type { Measured } from '../load/protocol.ts';
import type { Part } from '../options.ts';
import { cpuPerRequest } from '../parts/request.ts';
import { cpuPerEvent, PACE } from '../parts/sse.ts';
import { number, times, type PartReport, type Table } from '../report.ts';
import { errorsOf, medianOf, ratioOf, type Rounds } from '../rounds.ts';
import { BARE, DIRECT, NGINX } from '../targets.ts';

/** One line per target over all parts that were measured. */
export function peersTable(
  reports: ReadonlyMap<Part, Pick<PartReport, 'rounds'>>,
  versions: ReadonlyMap<string, string>,
  date: Date,
): Table {
  const [request, sse, large] = (['request', 'sse', 'large'] as const).map(
    (part) => reports.get(part)?.rounds ?? [],
  );
  const all = [request ?? [], sse ?? [], large ?? []];
  const names = [...new Set(all.flat().map(({ target }) => target))].filter((name) => name !== DIRECT);
  const cell = (
    part: readonly Rounds[] | undefined,
    name: string,
    read: (of: Measured) => number,
  ): string => {
    const rounds = find(part ?? [], name);
    return rounds ? number(medianOf(rounds, read)) : '-';
  };
  const ratio = (
    part: readonly Rounds[] | undefined,
    name: string,
    base: string,
    read: (of: Measured) => number,
  ): string => {
    const [rounds, below] = [find(part ?? [], name), find(part ?? [], base)];
    return rounds && below ? times(ratioOf(rounds, below, read)) : '-';
  };
  const perStream = (of: Measured): number => PACE.events * cpuPerEvent(of);
  return {
    title: `All targets, ${date.toISOString().slice(0, 10)}, Node ${process.version}`,
    columns: [
      ...['target', 'version', 'CPU us/request', 'x bare', 'CPU us/stream', 'x nginx', 'x bare'],
      ...['220 kB: CPU us', 'x bare', 'p50 ms', 'errors'],
    ],
    rows: names.map((name) => [
      name,
      versions.get(name) ?? '',
      cell(request, name, cpuPerRequest),
      ratio(request, name, BARE, cpuPerRequest),
      cell(sse, name, perStream),
      ratio(sse, name, NGINX, perStream),
      ratio(sse, name, BARE, perStream),
      cell(large, name, cpuPerRequest),
      ratio(large, name, BARE, cpuPerRequest),
      cell(large, name, ({ latency }) => latency?.p50 ?? NaN),
      String(all.reduce((sum, part) => sum + errorsIn(find(part, name)), 0)),
    ]),
    notes: [`a stream: ${PACE.events} events, ${PACE.stepMs} ms apart, with its request`],
  };
}

function errorsIn(rounds: Rounds | undefined): number {
  return rounds ? errorsOf(rounds) : 0;
}
