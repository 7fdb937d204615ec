import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { basename, join } from 'node:path';
import type { BenchRun } from './bench-run.ts';
import type { Part } from './options.ts';
import { isMet, type PartReport } from './report.ts';

/** Writes all that was measured, with what it was measured on, and returns the file's path. */
export function writeResults(
  folder: string,
  of: {
    readonly reports: ReadonlyMap<Part, PartReport>;
    readonly run: Pick<BenchRun, 'options' | 'missing' | 'versions'>;
    readonly startedAt: Date;
  },
): string {
  const { reports, run, startedAt } = of;
  const bars = [...reports.values()].flatMap((report) => report.bars);
  const file = join(folder, fileName(startedAt, run.options.keep));
  mkdirSync(folder, { recursive: true });
  const { venvs: _place, trace, ...rest } = run.options;
  const options = { ...rest, trace: trace === undefined ? undefined : basename(trace) };
  const content = {
    started_at: startedAt.toISOString(),
    seconds: Math.round((Date.now() - startedAt.getTime()) / 1000),
    commit: commit(),
    versions: { node: process.version, kernel: release(), ...Object.fromEntries(run.versions) },
    cpu: cpus()[0]?.model,
    cores: cpus().length,
    memory_bytes: totalmem(),
    options,
    bars: bars.map((bar) => ({ ...bar, measured: bar.measured ?? null, met: isMet(bar) ?? null })),
    skipped: Object.fromEntries(run.missing),
    parts: Object.fromEntries([...reports].map(([part, { table, data }]) => [part, { table, data }])),
  };
  writeFileSync(file, `${JSON.stringify(content, null, 1)}\n`);
  return file;
}

/** Git ignores a run that is named after its time, and takes one that was given a name (see `.gitignore`). */
export function fileName(startedAt: Date, keep: string | undefined): string {
  const time = startedAt.toISOString();
  return `${keep === undefined ? time.replaceAll(/[:.]/g, '-') : `${time.slice(0, 10)}-${keep}`}.json`;
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
