import { systemClock } from '../base/system-clock.ts';
import { systemRandom } from '../base/random.ts';
import { wantsColours } from '../base/colours.ts';
import { problemLine } from '../config/load/layer.ts';
import type { Settings, WorkerSpec } from '../config/settings/settings.ts';
import { examineFleet } from '../doctor/examine-fleet.ts';
import { DOCTOR_USAGE, parseDoctorFlags, type DoctorOptions } from '../doctor/flags.ts';
import { reportOf } from '../doctor/report.ts';
import { textReport } from '../doctor/text-report.ts';
import { loadConfigWithPlugins } from '../plugins/load-plugins.ts';
import { ProgressBar } from './progress-bar.ts';

export interface DoctorIo {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  readonly bar: Pick<ProgressBar, 'show' | 'clear'>;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly colours: boolean;
}

const PROCESS_IO = (): DoctorIo => ({
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
  bar: new ProgressBar(process.stderr),
  env: process.env,
  colours: wantsColours(process.stdout, process.env),
});

/** `vllm-router doctor`. Resolves to the exit code: 2 for a bad argument or configuration, 1 where a check failed. */
export async function doctor(argv: readonly string[], io: DoctorIo = PROCESS_IO()): Promise<number> {
  const flags = parseDoctorFlags(argv);
  if (flags.kind === 'help') {
    io.out(DOCTOR_USAGE);
    return 0;
  }
  if (flags.kind === 'error') return refuse(io, flags.message);
  const { options } = flags;
  const loaded = await loadConfigWithPlugins({
    argv: options.rest,
    env: io.env,
    cwd: process.cwd(),
    needsWorkers: options.routerUrl === undefined,
  });
  if (loaded.kind === 'error') {
    for (const problem of loaded.problems) refuse(io, problemLine(problem));
    return 2;
  }
  if (loaded.kind !== 'ok') return refuse(io, `unexpected flag; see vllm-router doctor --help`);
  // The clock's timers do not keep a process.
  const alive = setInterval(() => undefined, 60_000);
  try {
    return await examineAll(loaded.settings.workers, loaded.settings, options, io);
  } finally {
    clearInterval(alive);
  }
}

async function examineAll(
  workers: readonly WorkerSpec[],
  settings: Settings,
  { json, timeoutMs }: DoctorOptions,
  { out, bar, colours }: DoctorIo,
): Promise<number> {
  const checkedAt = systemClock.wall();
  const examinations = await examineFleet(
    workers,
    { settings, clock: systemClock, random: systemRandom, timeoutMs },
    { onProgress: ({ done, worker, check }) => bar.show(done, `${worker} ${check}`) },
  );
  bar.clear();
  const report = reportOf(examinations, checkedAt);
  out(json ? `${JSON.stringify(report, null, 2)}\n` : textReport(report, colours));
  return report.healthy ? 0 : 1;
}

function refuse({ err }: DoctorIo, message: string): number {
  err(`vllm-router doctor: ${message}\n`);
  return 2;
}
