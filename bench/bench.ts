import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { BenchRun } from './bench-run.ts';
import { pinningProblem } from './cores.ts';
import { startLoad } from './load-process.ts';
import type { Options, Part } from './options.ts';
import { cacheIndexPart } from './parts/cache-index.ts';
import { firstPart } from './parts/first.ts';
import { fleetPart } from './parts/fleet.ts';
import { sharedPart } from './parts/shared.ts';
import { idlePart } from './parts/idle.ts';
import { largePart } from './parts/large.ts';
import { latencyPart } from './parts/latency.ts';
import { requestPart } from './parts/request.ts';
import { ssePart } from './parts/sse.ts';
import { streamsPart } from './parts/streams.ts';
import { threadsPart } from './parts/threads.ts';
import { peersTable } from './peers/peers-table.ts';
import { renderBars, renderTable, type PartReport } from './report.ts';
import { writeResults } from './results.ts';
import { progress } from './rounds.ts';

const RUNNERS: Readonly<Record<Part, (run: BenchRun) => Promise<PartReport>>> = {
  request: requestPart,
  latency: latencyPart,
  large: largePart,
  sse: ssePart,
  streams: streamsPart,
  fleet: fleetPart,
  first: firstPart,
  idle: idlePart,
  shared: sharedPart,
  threads: threadsPart,
  'cache-index': cacheIndexPart,
};

/** Measures what the options ask for and prints it; the status to exit with. */
export async function bench(readOptions: () => Options | 'help', usage: string): Promise<number> {
  let options: Options | 'help';
  try {
    options = readOptions();
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    return 2;
  }
  if (options === 'help') {
    process.stdout.write(usage);
    return 0;
  }
  if (process.platform !== 'linux') {
    process.stderr.write(`${pinningProblem() ?? ''}: the benchmark runs on Linux only\n`);
    return 1;
  }
  await measure(options);
  return 0;
}

async function measure(options: Options): Promise<void> {
  const startedAt = new Date();
  const problem = pinningProblem();
  if (problem !== undefined) progress(`careful: ${problem}`);
  const dir = mkdtempSync(join(tmpdir(), 'vllm-router-bench-'));
  const load = await startLoad();
  const run = new BenchRun(load, options, dir);
  const reports = new Map<Part, PartReport>();
  // Ctrl-C must leave no process behind.
  const interrupt = (): void => {
    void Promise.all([run.stop(), load.stop()]).finally(() => process.exit(130));
  };
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
  try {
    for (const part of options.parts) reports.set(part, await RUNNERS[part](run));
  } finally {
    await run.stop();
    await load.stop();
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
    rmSync(dir, { recursive: true, force: true });
  }
  show(reports, run, startedAt);
}

function show(reports: ReadonlyMap<Part, PartReport>, run: BenchRun, startedAt: Date): void {
  const tables = [...reports.values()].map(({ table }) => table);
  const all = peersTable(reports, run.versions, startedAt);
  if (run.options.peers && all.rows.length > 0) tables.push(all);
  for (const table of tables) process.stdout.write(`\n${renderTable(table)}`);
  const bars = [...reports.values()].flatMap((report) => report.bars);
  process.stdout.write(`\n${renderBars(bars)}`);
  for (const [name, reason] of run.missing) process.stdout.write(`skipped: ${name}: ${reason}\n`);
  const file = writeResults(join(import.meta.dirname, 'results'), { reports, run, startedAt });
  process.stdout.write(`\nwritten: ${relative(process.cwd(), file)}\n`);
}
