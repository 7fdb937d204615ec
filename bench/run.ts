/** `npm run bench`: what this router costs beside nginx, a bare Node proxy and no proxy at all. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir, totalmem } from 'node:os';
import { join, relative } from 'node:path';
import { BenchRun } from './bench-run.ts';
import { pinningProblem } from './cores.ts';
import { startLoad } from './load-process.ts';
import { readOptions, USAGE, type Options, type Part } from './options.ts';
import { fleetPart } from './parts/fleet.ts';
import { idlePart } from './parts/idle.ts';
import { largePart } from './parts/large.ts';
import { latencyPart } from './parts/latency.ts';
import { requestPart } from './parts/request.ts';
import { ssePart } from './parts/sse.ts';
import { streamsPart } from './parts/streams.ts';
import { isMet, renderBars, renderTable, type PartReport } from './report.ts';
import { progress } from './rounds.ts';

const RUNNERS: Readonly<Record<Part, (run: BenchRun) => Promise<PartReport>>> = {
  request: requestPart,
  latency: latencyPart,
  large: largePart,
  sse: ssePart,
  streams: streamsPart,
  fleet: fleetPart,
  idle: idlePart,
};

async function main(argv: readonly string[]): Promise<number> {
  let options: Options | 'help';
  try {
    options = readOptions(argv);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    return 2;
  }
  if (options === 'help') {
    process.stdout.write(USAGE);
    return 0;
  }
  if (process.platform !== 'linux') {
    process.stderr.write(`${pinningProblem() ?? ''}: the benchmark runs on Linux only\n`);
    return 1;
  }
  await bench(options);
  return 0;
}

async function bench(options: Options): Promise<void> {
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
  show(reports, run, startedAt, options);
}

function show(
  reports: ReadonlyMap<Part, PartReport>,
  run: BenchRun,
  startedAt: Date,
  options: Options,
): void {
  for (const { table } of reports.values()) process.stdout.write(`\n${renderTable(table)}`);
  const bars = [...reports.values()].flatMap((report) => report.bars);
  process.stdout.write(`\n${renderBars(bars)}`);
  for (const [name, reason] of run.missing) process.stdout.write(`skipped: ${name}: ${reason}\n`);
  const results = join(import.meta.dirname, 'results');
  mkdirSync(results, { recursive: true });
  const file = join(results, `${startedAt.toISOString().replaceAll(/[:.]/g, '-')}.json`);
  writeFileSync(
    file,
    JSON.stringify(
      {
        started_at: startedAt.toISOString(),
        seconds: Math.round((Date.now() - startedAt.getTime()) / 1000),
        commit: commit(),
        node: process.version,
        cpu: cpus()[0]?.model,
        cores: cpus().length,
        memory_bytes: totalmem(),
        options,
        bars: bars.map((bar) => ({ ...bar, met: isMet(bar) ?? null })),
        skipped: Object.fromEntries(run.missing),
        parts: Object.fromEntries([...reports].map(([part, { table, data }]) => [part, { table, data }])),
      },
      null,
      1,
    ),
  );
  process.stdout.write(`\nwritten: ${relative(process.cwd(), file)}\n`);
}

function commit(): string | null {
  try {
    return execFileSync('git', ['rev-parse', '--short', 'HEAD'], {
      cwd: import.meta.dirname,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  } catch {
    return null;
  }
}

process.exitCode = await main(process.argv.slice(2));
