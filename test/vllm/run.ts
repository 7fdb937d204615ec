/** `npm run test:vllm`: what the router knows of caches, held against real vLLM servers. */
import { didYouMean, nearest } from '../../src/base/suggest.ts';
import type { VllmCase } from './case.ts';
import { CASES } from './cases/index.ts';
import { defaultDirectory, install, installedIn } from './install.ts';
import { Lab } from './lab.ts';
import { readOptions, USAGE, type VllmOptions } from './options.ts';
import { runningServer } from './running-server.ts';
import { hasPassed, resultTable, type CaseResult } from './table.ts';

const startedAt = Date.now();

function say(text: string): void {
  process.stderr.write(`[${((Date.now() - startedAt) / 1000).toFixed(0).padStart(4)} s] ${text}\n`);
}

function caseNames(): string {
  return CASES.map(({ name, about }) => `  ${name.padEnd(16)}  ${about}`).join('\n');
}

async function main(argv: readonly string[]): Promise<number> {
  let options: VllmOptions | 'help';
  try {
    options = readOptions(argv);
  } catch (error) {
    return refuse(messageOf(error));
  }
  if (options === 'help') {
    process.stdout.write(`${USAGE}\nCases:\n${caseNames()}\n`);
    return 0;
  }
  const names = CASES.map(({ name }) => name);
  const unknown = options.only.find((name) => !names.includes(name));
  if (unknown !== undefined)
    return refuse(`there is no case ${unknown}${didYouMean(nearest(unknown, names))}`);
  const { only } = options;
  const cases = CASES.filter(({ name }) => only.length === 0 || only.includes(name));
  const directory = options.directory ?? defaultDirectory();
  if (!options.install && !installedIn(directory)) return refuse(`nothing is installed in ${directory}`);
  const installed = await install(directory, say);
  const running = await Promise.all(options.use.map(runningServer));
  const pair = await Promise.all(options.pair.map(runningServer));
  await using lab = new Lab(installed, { running, pair }, say);
  const interrupted = new Promise<'interrupted'>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve('interrupted'));
  });
  const results = await Promise.race([runAll(cases, lab), interrupted]);
  if (results === 'interrupted') {
    say('stopping the servers');
    return 1;
  }
  process.stdout.write(resultTable(results));
  return results.every(hasPassed) ? 0 : 1;
}

async function runAll(cases: readonly VllmCase[], lab: Lab): Promise<readonly CaseResult[]> {
  const results: CaseResult[] = [];
  for (const one of cases) {
    say(`${one.name}: ${one.about}`);
    const begun = Date.now();
    const figures = await one
      .run(lab, (text) => {
        say(`${one.name}: ${text}`);
      })
      .catch((error: unknown) => messageOf(error));
    results.push({ name: one.name, seconds: (Date.now() - begun) / 1000, figures });
  }
  return results;
}

function refuse(message: string): number {
  process.stderr.write(`test:vllm: ${message}\n`);
  return 2;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

process.exitCode = await main(process.argv.slice(2));
