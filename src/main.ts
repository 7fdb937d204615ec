/** The program: finds the command that the arguments name and runs it. Importing this module runs it. */
import { SUB_COMMAND_NAMES, type SubCommand } from './config/show/sub-commands.ts';
import { didYouMean, nearest } from './base/suggest.ts';

/** Commands are loaded when they are run: `--version` should not wait for the server's modules. */
const COMMANDS: Readonly<Record<SubCommand, (argv: readonly string[]) => Promise<number>>> = {
  sim: async (argv) => (await import('./commands/sim.ts')).sim([...argv]),
  simulate: async (argv) => (await import('./commands/simulate.ts')).simulate(argv),
  replay: async (argv) => (await import('./commands/replay.ts')).replay(argv),
  doctor: async (argv) => (await import('./commands/doctor.ts')).doctor(argv),
  demo: async (argv) => (await import('./commands/demo.ts')).demo([...argv]),
  config: async (argv) => (await import('./commands/config.ts')).config(argv),
  help: async ([topic]) => explain(topic === '--help' || topic === '-h' ? undefined : topic),
  version: async () => (await import('./commands/help.ts')).printVersion(),
};

/** A command explains itself; anything else is a topic of the server's settings. */
async function explain(topic?: string): Promise<number> {
  const command = SUB_COMMAND_NAMES.find((name) => name === topic && name !== 'help' && name !== 'version');
  return command ? COMMANDS[command](['--help']) : (await import('./commands/help.ts')).help(topic);
}

/** `--help policies`; behind other flags a word may be a value of theirs. */
function topicBehind([first, second]: readonly string[]): string | undefined {
  const asksFirst = first === '--help' || first === '-h';
  return asksFirst && second?.startsWith('-') === false ? second : undefined;
}

/** What was meant, or where to look. A worker's URL is what other programs take without a flag. */
function commandHint(word: string): string {
  const isUrl = /^(https?|unix):\/\//.test(word);
  const meant = isUrl ? `--worker-urls ${word}` : nearest(word, SUB_COMMAND_NAMES);
  return meant === undefined ? '; vllm-router help shows them all' : didYouMean(meant);
}

async function main(argv: readonly string[]): Promise<number> {
  const [first, ...rest] = argv;
  const command = SUB_COMMAND_NAMES.find((name) => name === first);
  if (command) return COMMANDS[command](rest);
  if (first !== undefined && !first.startsWith('-')) {
    process.stderr.write(`vllm-router: unknown command ${JSON.stringify(first)}${commandHint(first)}\n`);
    return 2;
  }
  const { parseFlags } = await import('./config/load/flags.ts');
  const { kind } = parseFlags(argv);
  if (kind === 'version') return COMMANDS.version([]);
  if (kind === 'help') return explain(topicBehind(argv));
  return (await import('./commands/serve.ts')).serve([...argv]);
}

// `vllm-router --help | head`: a reader that has read enough is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});
// The code is set rather than the process ended, so that output still on its way arrives.
process.exitCode = await main(process.argv.slice(2));
