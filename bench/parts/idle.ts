import type { BenchRun } from '../bench-run.ts';
import { memory } from '../load/process-usage.ts';
import { mebibytes, type PartReport } from '../report.ts';
import { progress } from '../rounds.ts';
import { BARE, NGINX, ROUTER } from '../targets.ts';

const SETTLE_MS = 3_000;

/** Memory of a process that has started, found its workers and done nothing yet. */
export async function idlePart(run: BenchRun): Promise<PartReport> {
  const rows: { target: string; rss: number }[] = [];
  for (const name of run.names([NGINX, BARE, ROUTER])) {
    const target = await run.fresh(name);
    if (target?.pid === undefined) continue;
    progress(`idle: ${name}`);
    await new Promise((resolve) => setTimeout(resolve, run.ms(SETTLE_MS)));
    rows.push({ target: name, rss: memory(target.pid).rss });
    await target.stop();
  }
  const router = rows.find(({ target }) => target === ROUTER);
  return {
    table: {
      title: 'Idle, with 4 healthy workers',
      columns: ['target', 'RSS MiB'],
      rows: rows.map(({ target, rss }) => [target, mebibytes(rss)]),
    },
    bars: [
      { name: 'idle router, memory', measured: router && router.rss / 1024 / 1024, limit: 110, unit: 'MiB' },
    ],
    data: rows,
  };
}
