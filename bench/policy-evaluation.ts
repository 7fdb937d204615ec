/**
 * Writes the tables of docs/design/policy-evaluation.md:
 *
 *     node bench/policy-evaluation.ts --trace conversation_trace.jsonl [--only ID,ID] [--page FILE]
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ProgressBar } from '../src/commands/progress-bar.ts';
import { contendersOf } from '../src/simulate/study/contenders.ts';
import { parseSimulateFlags } from '../src/simulate/study/parse-flags.ts';
import { runStudies } from '../src/simulate/study/study.ts';
import { readTrace } from '../src/simulate/traces/read-trace.ts';
import type { Trace } from '../src/simulate/traces/trace.ts';
import { SECTIONS, type Section, type Setting } from './evaluation/sections.ts';
import { commandsOf, tableOf, verdictTable, verdictsOf, type Result } from './evaluation/tables.ts';

const PAGE = join(import.meta.dirname, '../docs/design/policy-evaluation.md');

const { values } = parseArgs({
  options: { trace: { type: 'string' }, only: { type: 'string' }, page: { type: 'string' } },
});
if (values.trace === undefined) {
  process.stderr.write('usage: node bench/policy-evaluation.ts --trace FILE [--only ID,ID] [--page FILE]\n');
  process.exit(2);
}
const path = values.page ?? PAGE;
const wanted = values.only?.split(',');
const sections = SECTIONS.filter(({ id }) => wanted === undefined || wanted.includes(id));
const { trace } = await readTrace(values.trace, 'mooncake', 1);
const bar = new ProgressBar(process.stderr);
const startedAt = performance.now();
/** Where `least_work` stands, as far as has been run. The runs themselves are let go: they are large. */
const verdicts: string[][] = [];
for (const [place, section] of sections.entries()) {
  const sectionFrom = performance.now();
  const results = section.settings.map((setting, at) =>
    run(setting, trace, (share, what) => {
      const within = (at + share) / section.settings.length;
      bar.show((place + within) / sections.length, `${section.id} ${what}`);
    }),
  );
  if (section.layout === 'loads') verdicts.push(...verdictsOf(section, results));
  await write(section.id, blockOf(section, results));
  bar.clear();
  process.stdout.write(`${section.id}: ${((performance.now() - sectionFrom) / 1000).toFixed(1)} s\n`);
}
if (wanted === undefined) await write('verdict', verdictTable(verdicts));
const secs = ((performance.now() - startedAt) / 1000).toFixed(0);
process.stdout.write(`${path}: ${String(sections.length)} tables in ${secs} s\n`);
if (verdicts.length > 0) process.stdout.write(`${verdictTable(verdicts)}\n`);

function run({ label, args }: Setting, recorded: Trace, show: (share: number, what: string) => void): Result {
  const flags = parseSimulateFlags(args);
  if (flags.kind !== 'options')
    throw new Error(`${args.join(' ')}: ${flags.kind === 'error' ? flags.message : 'help'}`);
  const contenders = contendersOf(flags.options);
  if (typeof contenders === 'string') throw new Error(contenders);
  const steps = runStudies(flags.options, contenders, flags.options.trace ? recorded : undefined);
  let step = steps.next();
  for (; !step.done; step = steps.next()) show(step.value.done, step.value.contender);
  return { label, studies: step.value };
}

function blockOf(section: Section, results: readonly Result[]): string {
  return `${commandsOf(section)}\n\n${tableOf(section, results)}`;
}

/** Reads the page anew each time: whoever edits its prose meanwhile loses nothing. */
async function write(id: string, block: string): Promise<void> {
  await writeFile(path, replaced(await readFile(path, 'utf8'), id, block));
}

function replaced(text: string, id: string, block: string): string {
  const begin = `<!-- begin ${id} -->`;
  const end = `<!-- end ${id} -->`;
  const from = text.indexOf(begin);
  const to = text.indexOf(end);
  if (from < 0 || to < from) throw new Error(`${path} has no place for ${id}: ${begin} ... ${end}`);
  return `${text.slice(0, from)}${begin}\n${block}\n${text.slice(to)}`;
}
