import { configJsonSchema } from '../config/show/json-schema.ts';
import { parseFlags } from '../config/load/flags.ts';
import { problemLine } from '../config/load/layer.ts';
import { printConfig } from '../config/show/print.ts';
import { SUB_COMMANDS } from '../config/show/sub-commands.ts';
import { didYouMean, nearest } from '../base/suggest.ts';
import { recordJsonSchema } from '../decisions/record-schema.ts';
import { describeModules, loadConfigWithPlugins, noPlugins } from '../plugins/load-plugins.ts';
import { help, printVersion } from './help.ts';

type Loaded = Awaited<ReturnType<typeof loadConfigWithPlugins>>;

const USAGE = `${SUB_COMMANDS.filter(({ name }) => name === 'config')
  .map(({ usage, about }) => `${`vllm-router ${usage}`.padEnd(34)} ${about}`)
  .join('\n')}\n`;

/** `vllm-router config ...`. Resolves to the exit code: 2 for what is not valid. */
export async function config(argv: readonly string[]): Promise<number> {
  const [action, ...rest] = argv;
  switch (action) {
    case 'check':
      return check(rest);
    case 'print':
      return print(rest);
    case 'schema':
      return schema(rest);
    case undefined:
      process.stderr.write(USAGE);
      return 2;
    case '--help':
    case '-h':
      process.stdout.write(USAGE);
      return 0;
    default:
      return refuse(
        `unknown command: config ${action}${didYouMean(nearest(action, ['check', 'print', 'schema']))}`,
      );
  }
}

/** Nothing is started: it may be meant for another machine. */
const LOOKING = { needsWorkers: false, lenient: true };

/** The file alone counts: what the environment would add is not its doing. */
async function check(args: readonly string[]): Promise<number> {
  if (args[0] === '--help' || args[0] === '-h') {
    process.stdout.write(USAGE);
    return 0;
  }
  const file = fileOf(args);
  if (file === undefined) return refuse('expected one file: vllm-router config check FILE');
  const loaded = await loadConfigWithPlugins({
    argv: [`--config-file=${file}`],
    env: {},
    variables: process.env,
    cwd: process.cwd(),
    ...LOOKING,
  });
  return report(loaded, ({ plugins = noPlugins() }) => {
    process.stdout.write(`${file}: valid\n`);
    for (const line of describeModules(plugins)) process.stdout.write(`plugin ${line}\n`);
  });
}

/** By itself, or with the flag that the other commands want before it. */
function fileOf(args: readonly string[]): string | undefined {
  const [first = '', second] = args;
  if (args.length === 1 && !first.startsWith('-')) return first;
  const flags = parseFlags(args);
  const asFlag = args.length === (second === undefined ? 1 : 2);
  return flags.kind === 'flags' && flags.problems.length === 0 && asFlag ? flags.configFile : undefined;
}

async function print(args: readonly string[]): Promise<number> {
  const loaded = await loadConfigWithPlugins({
    argv: args,
    env: process.env,
    cwd: process.cwd(),
    ...LOOKING,
  });
  return report(loaded, ({ config: effective, origins }) =>
    process.stdout.write(printConfig(effective, origins)),
  );
}

function schema([flag, ...rest]: readonly string[]): number {
  if (rest.length > 0 || (flag !== undefined && flag !== '--record'))
    return refuse('config schema takes --record, or no argument');
  const shown = flag === undefined ? configJsonSchema() : recordJsonSchema();
  process.stdout.write(`${JSON.stringify(shown, null, 2)}\n`);
  return 0;
}

function report(loaded: Loaded, good: (loaded: Loaded & { kind: 'ok' }) => void): number {
  switch (loaded.kind) {
    case 'help':
      return help();
    case 'version':
      return printVersion();
    case 'error':
      for (const problem of loaded.problems) process.stderr.write(`${problemLine(problem)}\n`);
      return 2;
    case 'ok':
      for (const notice of loaded.notices) process.stderr.write(`note: ${notice}\n`);
      good(loaded);
      return 0;
  }
}

function refuse(message: string): number {
  process.stderr.write(`vllm-router: ${message}\n`);
  return 2;
}
