import { writeFile } from 'node:fs/promises';
import { writeReason } from '../base/system-reason.ts';
import { problemLine } from '../config/load/layer.ts';
import type { LogRecord } from '../decisions/log-record.ts';
import { readRecords, type ReadRecords } from '../decisions/read-records.ts';
import { loadConfigWithPlugins } from '../plugins/load-plugins.ts';
import { candidateOf, type Candidate } from '../replay/candidate.ts';
import { parseReplayFlags, replayUsage, type ReplayOptions } from '../replay/flags.ts';
import { replayJson } from '../replay/json-report.ts';
import { replayStudy, type ReplayStudy } from '../replay/replay-study.ts';
import { replayPage } from '../replay/html-report.ts';
import { replayText } from '../replay/text-report.ts';
import { ProgressBar } from './progress-bar.ts';
import { unreadableFile } from './unreadable-file.ts';
import { unwritablePage } from './unwritable-page.ts';

export interface ReplayIo {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  readonly bar: Pick<ProgressBar, 'show' | 'clear'>;
}

const PROCESS_IO = (): ReplayIo => ({
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
  bar: new ProgressBar(process.stderr),
});

const PROBLEMS_SHOWN = 10;

/** `vllm-router replay`. Resolves to the exit code: 2 for bad arguments (a file that is not there, too) or a bad configuration, 1 for a log that cannot be used. */
export async function replay(argv: readonly string[], io: ReplayIo = PROCESS_IO()): Promise<number> {
  const flags = parseReplayFlags(argv);
  if (flags.kind === 'help') {
    io.out(replayUsage());
    return 0;
  }
  if (flags.kind === 'error') {
    io.err(`vllm-router replay: ${flags.message}\n\n${replayUsage()}`);
    return 2;
  }
  const { options } = flags;
  const candidates = await loadCandidates(options.configs, io);
  if (candidates === undefined) return 2;
  for (const file of options.decisions) {
    const unreadable = await unreadableFile(file);
    if (unreadable === undefined) continue;
    io.err(`vllm-router replay: --decisions ${file} ${unreadable}\n`);
    return 2;
  }
  const unwritable = options.html === undefined ? undefined : await unwritablePage(options.html);
  if (unwritable !== undefined) {
    io.err(`vllm-router replay: --html ${String(options.html)} ${unwritable}\n`);
    return 1;
  }
  const records = await loadRecords(options, io);
  if (typeof records === 'string') {
    io.err(`vllm-router replay: ${records}\n`);
    return 1;
  }
  io.err(`${String(records.length)} records; ${candidates.map(describe).join(', ')}\n`);
  const study = await run(options, records, candidates, io);
  io.out(options.json ? `${JSON.stringify(replayJson(study), null, 2)}\n` : replayText(study, options.wide));
  return options.html === undefined ? 0 : await writePage(options.html, study, io);
}

async function writePage(path: string, study: ReplayStudy, io: ReplayIo): Promise<number> {
  try {
    await writeFile(path, replayPage(study));
  } catch (error) {
    io.err(`vllm-router replay: --html ${path} cannot be written: ${writeReason(error)}\n`);
    return 1;
  }
  io.err(`report: ${path}\n`);
  return 0;
}

function describe({ name, policy }: Candidate): string {
  return `${name}: ${policy.type === 'plugin' ? policy.name : policy.type}`;
}

/** Undefined where one is not valid; every problem has been told then. */
async function loadCandidates(files: readonly string[], io: ReplayIo): Promise<Candidate[] | undefined> {
  const candidates: Candidate[] = [];
  for (const file of files) {
    const loaded = await loadConfigWithPlugins({
      argv: [`--config-file=${file}`],
      env: {},
      variables: process.env,
      cwd: process.cwd(),
      needsWorkers: false,
      lenient: true,
    });
    if (loaded.kind === 'ok') candidates.push(candidateOf(file, loaded.settings));
    else if (loaded.kind === 'error')
      for (const problem of loaded.problems) io.err(`vllm-router replay: ${problemLine(problem)}\n`);
  }
  return candidates.length === files.length ? candidates : undefined;
}

async function loadRecords(options: ReplayOptions, io: ReplayIo): Promise<readonly LogRecord[] | string> {
  let read: ReadRecords;
  try {
    read = await readRecords(options.decisions);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  const { records, problems, problemCount, torn } = read;
  const lines = problems.map(({ file, line, message }) => `${file}:${String(line)}: ${message}`);
  if (options.strict && lines[0] !== undefined) return lines[0];
  for (const line of lines.slice(0, PROBLEMS_SHOWN)) io.err(`${line}\n`);
  if (problemCount > PROBLEMS_SHOWN)
    io.err(`and ${String(problemCount - PROBLEMS_SHOWN)} more lines left out\n`);
  for (const file of torn) io.err(`note: the last line of ${file} is cut and was left out\n`);
  if (records.length === 0) return `${options.decisions.join(', ')}: no record in it can be used`;
  return ofOneModel(records, options.model, io);
}

/** Models that are served by different workers cannot be replayed as one fleet. */
function ofOneModel(
  records: readonly LogRecord[],
  wanted: string | undefined,
  io: ReplayIo,
): readonly LogRecord[] | string {
  const models = Map.groupBy(
    records.filter(({ worker, model }) => worker !== undefined && model !== undefined),
    ({ model }) => model ?? '',
  );
  if (wanted !== undefined) {
    const of = models.get(wanted);
    return of ?? `no record of model ${wanted}; there are ${[...models.keys()].join(', ')}`;
  }
  const sent = records.filter(({ worker }) => worker !== undefined);
  if (sent.length === 0) return 'no request of the log was sent to a worker';
  const fleetOf = (some: readonly LogRecord[]): string =>
    [...new Set(some.flatMap(({ worker, candidates }) => [worker ?? '', ...candidates]))].sort().join(' ');
  const fleets = new Set([...models.values()].map(fleetOf));
  if (fleets.size <= 1) return records;
  const [name = '', most = []] =
    [...models].sort(([, left], [, right]) => right.length - left.length)[0] ?? [];
  io.err(
    `note: ${String(models.size)} models on different workers; only ${name} is replayed (--model chooses another)\n`,
  );
  return most;
}

async function run(
  { ttftMs, tpotMs, kvTokens, prefillRate, decodeBaseMs, decodePerRequestMs }: ReplayOptions,
  records: readonly LogRecord[],
  candidates: readonly Candidate[],
  { bar }: ReplayIo,
): Promise<ReplayStudy> {
  const steps = replayStudy({
    ...{ records, candidates },
    objective: { ttftMs, tpotMs },
    speeds: { kvTokens, prefillRate, decodeBaseMs, decodePerRequestMs },
  });
  let step = steps.next();
  for (; !step.done; step = steps.next()) {
    bar.show(step.value.done, step.value.what);
    // Lets a signal in.
    await new Promise((resolve) => setImmediate(resolve));
  }
  bar.clear();
  return step.value;
}
