import { doctor } from '../../src/commands/doctor.ts';
import { doctorReport, type DoctorReport } from '../../src/doctor/report.ts';

export interface DoctorRun {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs the command as a terminal without colours would see it, with no variables around it. */
export async function runDoctor(...argv: readonly string[]): Promise<DoctorRun> {
  let out = '';
  let err = '';
  const code = await doctor(argv, {
    out: (text) => void (out += text),
    err: (text) => void (err += text),
    bar: { show: () => undefined, clear: () => undefined },
    env: {},
    colours: false,
  });
  return { code, out, err };
}

type Worker = DoctorReport['workers'][number];

export interface Examined {
  readonly code: number;
  readonly report: DoctorReport;
  /** Of the first worker. */
  readonly worker: Worker;
  /** What the first worker's check came to: `mark: finding`. */
  readonly said: (check: string) => string;
}

/** The same, read back from its JSON. */
export async function examined(...argv: readonly string[]): Promise<Examined> {
  const { code, out, err } = await runDoctor(...argv, '--json');
  if (out === '') throw new Error(err);
  const report = doctorReport.parse(JSON.parse(out));
  const [worker] = report.workers;
  if (!worker) throw new Error('no worker in the report');
  const said = (name: string): string => {
    const found = worker.checks.find(({ check }) => check === name);
    return found === undefined ? 'not checked' : `${found.mark}: ${found.finding}`;
  };
  return { code, report, worker, said };
}
