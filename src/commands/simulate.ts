import { writeFile } from 'node:fs/promises';
import { entry } from '../config/show/help-text.ts';
import { writeReason } from '../base/system-reason.ts';
import { contendersOf } from '../simulate/study/contenders.ts';
import { SIMULATE_FLAGS } from '../simulate/study/flags.ts';
import { jsonReport } from '../simulate/study/json-report.ts';
import type { SimulateOptions } from '../simulate/study/options.ts';
import { parseSimulateFlags } from '../simulate/study/parse-flags.ts';
import { runStudies, type Study } from '../simulate/study/study.ts';
import { textReport } from '../simulate/study/text-report.ts';
import { guessFormat, readTrace, type ReadTrace } from '../simulate/traces/read-trace.ts';
import type { Trace } from '../simulate/traces/trace.ts';
import { ProgressBar } from './progress-bar.ts';
import { unreadableFile } from './unreadable-file.ts';
import { unwritablePage } from './unwritable-page.ts';

export interface SimulateIo {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  readonly bar: Pick<ProgressBar, 'show' | 'clear'>;
}

const PROCESS_IO = (): SimulateIo => ({
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
  bar: new ProgressBar(process.stderr),
});

/** `vllm-router simulate`. Resolves to the exit code: 2 for a bad argument, 1 for a trace that cannot be used. */
export async function simulate(argv: readonly string[], io: SimulateIo = PROCESS_IO()): Promise<number> {
  const flags = parseSimulateFlags(argv);
  if (flags.kind === 'help') {
    io.out(helpText());
    return 0;
  }
  if (flags.kind === 'error') return refuse(io, flags.message, 2);
  const { options } = flags;
  const contenders = contendersOf(options);
  if (typeof contenders === 'string') return refuse(io, `--policies: ${contenders}`, 2);
  const unreadable = options.trace && (await unreadableFile(options.trace.path));
  if (options.trace && unreadable !== undefined)
    return refuse(io, `--trace ${options.trace.path} ${unreadable}`, 2);
  const unwritable = options.html === undefined ? undefined : await unwritablePage(options.html);
  if (unwritable !== undefined) return refuse(io, `--html ${String(options.html)} ${unwritable}`, 1);
  const recorded = await recordedTrace(options, io);
  if (typeof recorded === 'string') return refuse(io, recorded, 1);
  const studies = await runAll(runStudies(options, contenders, recorded), io);
  io.out(
    options.json
      ? `${JSON.stringify(jsonReport(studies, options), null, 2)}\n`
      : textReport(studies, options.wide),
  );
  if (options.html === undefined) return 0;
  const { htmlReport } = await import('../simulate/study/html-report.ts');
  try {
    await writeFile(options.html, htmlReport(studies, options));
  } catch (error) {
    return refuse(io, `--html ${options.html} cannot be written: ${writeReason(error)}`, 1);
  }
  io.err(`report: ${options.html}\n`);
  return 0;
}

async function runAll(steps: ReturnType<typeof runStudies>, { bar }: SimulateIo): Promise<readonly Study[]> {
  let step = steps.next();
  for (; !step.done; step = steps.next()) {
    bar.show(step.value.done, `${step.value.contender} at speed ${String(step.value.speed)}`);
    // Lets a signal in.
    await new Promise((resolve) => setImmediate(resolve));
  }
  bar.clear();
  return step.value;
}

/** Undefined where none was asked for; a text says why it cannot be used. */
async function recordedTrace(options: SimulateOptions, io: SimulateIo): Promise<Trace | undefined | string> {
  if (!options.trace) return undefined;
  const { path } = options.trace;
  const format = options.trace.format ?? guessFormat(path);
  if (format === undefined) return `${path}: give its format with --format`;
  let read: ReadTrace;
  try {
    read = await readTrace(path, format, 1);
  } catch (error) {
    return `${path}: ${error instanceof Error ? error.message : String(error)}`;
  }
  const { problems, problemCount, trace } = read;
  const [first] = problems;
  if (options.strict && first) return `${path}:${String(first.line)}: ${first.message}`;
  for (const { line, message } of problems.slice(0, 10)) io.err(`${path}:${String(line)}: ${message}\n`);
  if (problemCount > 10) io.err(`${path}: and ${String(problemCount - 10)} more\n`);
  return trace.requests.length === 0 ? `${path}: no request in it can be used` : trace;
}

function refuse(io: SimulateIo, message: string, code: number): number {
  io.err(`vllm-router simulate: ${message}\n`);
  return code;
}

const HELP_WIDTH = 120;

function helpText(): string {
  const groups = [...new Set(SIMULATE_FLAGS.map(({ group }) => group))];
  const lines = groups.flatMap((group) => [
    '',
    `${group}:`,
    ...SIMULATE_FLAGS.filter((flag) => flag.group === group).flatMap(({ name, value, about }) =>
      entry(value === undefined ? name : `${name} ${value}`, about, HELP_WIDTH),
    ),
  ]);
  return [
    'vllm-router simulate [flags]: what each policy would do with a workload, in virtual time and without a GPU.',
    ...lines,
    '',
  ].join('\n');
}
