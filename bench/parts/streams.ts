import { openFileLimit } from '../cores.ts';
import type { BenchRun } from '../bench-run.ts';
import { memory } from '../load/process-usage.ts';
import type { Held } from '../load/protocol.ts';
import { mebibytes, number, type Bar, type PartReport } from '../report.ts';
import { progress } from '../rounds.ts';
import { BARE, NGINX, ROUTER } from '../targets.ts';
import { addressOf } from './request.ts';

/** Each stream has two sockets in the target, and two in the load process. */
const FILES_PER_STREAM = 2;
/** What proxies keep free of what they may open: nginx begins to drop connections at a sixteenth, this router keeps 5%. */
const KEPT_FREE = 0.066;
/** Counted from when all are open. */
const PACE = { events: 15, stepMs: 1_000 };
const OPEN_PER_SECOND = 1_500;

interface Row {
  readonly target: string;
  readonly before: number;
  readonly held: Held;
}

/** Very many streams open at once: memory and errors. */
export async function streamsPart(run: BenchRun): Promise<PartReport> {
  const wanted = run.options.streams;
  const streams = Math.min(wanted, Math.floor((openFileLimit() * (1 - KEPT_FREE)) / FILES_PER_STREAM));
  const rows: Row[] = [];
  for (const name of run.names([NGINX, BARE, ROUTER])) {
    const target = await run.fresh(name);
    if (target?.pid === undefined) continue;
    const before = memory(target.pid).rss;
    progress(`${streams} open streams: ${name}`);
    const held = await run.load.hold({
      kind: 'hold',
      target: addressOf(target),
      streams,
      pace: PACE,
      openPerSecond: OPEN_PER_SECOND,
    });
    if (held.errors > 0) progress(`  ${name}: ${held.errors} errors, first: ${held.problem ?? ''}`);
    await target.stop();
    rows.push({ target: name, before, held });
  }
  return {
    table: {
      title: `${streams} streams open at once, an event each per second`,
      columns: ['target', 'open at once', 'completed', 'errors', 'RSS MiB', 'KiB/stream', 'CPU us/event'],
      rows: rows.map(({ target, before, held }) => [
        target,
        String(held.openAtOnce),
        String(held.completed),
        String(held.errors),
        mebibytes(held.rss),
        number((held.rss - before) / 1024 / streams),
        number((1000 * held.cpuMs) / held.events),
      ]),
      ...(streams < wanted ? { notes: [fewer(streams, wanted)] } : {}),
    },
    bars: bars(
      rows.find(({ target }) => target === ROUTER),
      streams,
      wanted,
    ),
    data: { streams, rows },
  };
}

/** Where fewer could be opened, memory is scaled up from those that were. */
function bars(row: Row | undefined, streams: number, wanted: number): Bar[] {
  const memoryAtWanted = row && row.before + ((row.held.rss - row.before) * wanted) / streams;
  const failed =
    row && Math.max(row.held.errors, streams - row.held.completed, streams - row.held.openAtOnce);
  const note = streams < wanted ? { note: fewer(streams, wanted) } : {};
  return [
    {
      name: `${wanted} open streams, memory`,
      measured: memoryAtWanted && memoryAtWanted / 1024 / 1024,
      limit: 400,
      unit: 'MiB',
      ...note,
    },
    {
      name: `${wanted} open streams, failed or not open together`,
      measured: failed,
      limit: 0,
      unit: 'streams',
      ...note,
    },
  ];
}

function fewer(streams: number, wanted: number): string {
  return `${streams} instead of ${wanted}: this machine allows ${openFileLimit()} open files per process; memory is scaled up`;
}
