import { didYouMean, nearest } from '../base/suggest.ts';

/** Everything that `vllm-router replay` was asked for. */
export interface ReplayOptions {
  readonly decisions: readonly string[];
  readonly configs: readonly string[];
  readonly model: string | undefined;
  readonly strict: boolean;
  /** All columns and workers on a terminal, however long it gets. */
  readonly wide: boolean;
  readonly json: boolean;
  readonly html: string | undefined;
  readonly ttftMs: number;
  readonly tpotMs: number;
  readonly kvTokens: number;
  readonly prefillRate: number | undefined;
  readonly decodeBaseMs: number | undefined;
  readonly decodePerRequestMs: number | undefined;
}

type Draft = { -readonly [Key in keyof ReplayOptions]: ReplayOptions[Key] };
type NumberKey = 'ttftMs' | 'tpotMs' | 'kvTokens' | 'prefillRate' | 'decodeBaseMs' | 'decodePerRequestMs';

interface Flag {
  readonly name: string;
  readonly aliases?: readonly string[];
  /** How its value is called; without one it is a switch. */
  readonly value?: string;
  readonly about: string;
  /** Returns what was expected when the value will not do. */
  readonly set: (draft: Draft, value: string) => string | undefined;
}

function number(name: string, key: NumberKey, least: number, rest: Pick<Flag, 'value' | 'about'>): Flag {
  return {
    name,
    ...rest,
    set: (draft, text) => {
      const value = text.trim() === '' ? NaN : Number(text);
      if (!Number.isFinite(value) || value < least) return `a number, at least ${String(least)}`;
      draft[key] = value;
      return undefined;
    },
  };
}

function file(name: string, key: 'decisions' | 'configs', about: string): Flag {
  return {
    name,
    value: 'FILE',
    about,
    set: (draft, path) => {
      draft[key] = [...draft[key], path];
      return path === '' ? 'a file' : undefined;
    },
  };
}

function toggle(name: string, key: 'strict' | 'wide' | 'json', about: string): Flag {
  return {
    name,
    about,
    set: (draft) => {
      draft[key] = true;
      return undefined;
    },
  };
}

const FLAGS: readonly Flag[] = [
  file('--decisions', 'decisions', 'A decision log, .gz or not; several are read one after the other.'),
  {
    ...file('--config', 'configs', 'A configuration to decide under; several are compared.'),
    aliases: ['--config-file', '-c'],
  },
  {
    name: '--model',
    value: 'NAME',
    about: 'Only requests for this model.',
    set: (draft, name) => {
      draft.model = name;
      return undefined;
    },
  },
  toggle('--strict', 'strict', 'Ends at the first line that cannot be used, instead of going on without it.'),
  toggle('--wide', 'wide', 'All columns and workers, not only as many as fit into 120 characters.'),
  toggle('--json', 'json', 'The result as JSON on standard output.'),
  {
    name: '--html',
    value: 'PAGE',
    about: 'A report with plots in one file.',
    set: (draft, path) => {
      draft.html = path;
      return path === '' ? 'a file' : undefined;
    },
  },
  number('--slo-ttft-ms', 'ttftMs', 0, { value: 'MS', about: 'Goodput: a first token within this, [5000]' }),
  number('--slo-tpot-ms', 'tpotMs', 0, { value: 'MS', about: 'and this per further token. [100]' }),
  number('--kv-tokens', 'kvTokens', 1024, { value: 'N', about: 'KV cache of an engine, tokens. [524288]' }),
  number('--prefill-rate', 'prefillRate', 1, {
    value: 'TOKENS_PER_S',
    about: 'Prefill speed, in place of what the log says.',
  }),
  number('--decode-base-ms', 'decodeBaseMs', 0, { value: 'MS', about: 'Time of a decode step, likewise.' }),
  number('--decode-per-request-ms', 'decodePerRequestMs', 0, {
    value: 'MS',
    about: 'What each running request adds to it, likewise.',
  }),
];

const DEFAULTS: ReplayOptions = {
  ...{
    decisions: [],
    configs: [],
    model: undefined,
    strict: false,
    wide: false,
    json: false,
    html: undefined,
  },
  ...{ ttftMs: 5000, tpotMs: 100, kvTokens: 524_288 },
  ...{ prefillRate: undefined, decodeBaseMs: undefined, decodePerRequestMs: undefined },
};

export type ReplayFlags =
  | { readonly kind: 'options'; readonly options: ReplayOptions }
  | { readonly kind: 'help' }
  | { readonly kind: 'error'; readonly message: string };

/** Reads the arguments of `vllm-router replay`. Words after `--decisions FILE` and `--config FILE` are more of them. */
export function parseReplayFlags(argv: readonly string[]): ReplayFlags {
  const draft: Draft = { ...DEFAULTS };
  let list: Flag | undefined;
  for (let at = 0; at < argv.length; at += 1) {
    const argument = argv[at] ?? '';
    if (argument === '--help' || argument === '-h') return { kind: 'help' };
    if (!argument.startsWith('-') && list) {
      list.set(draft, argument);
      continue;
    }
    const equals = argument.startsWith('--') ? argument.indexOf('=') : -1;
    const name = equals < 0 ? argument : argument.slice(0, equals);
    const flag = FLAGS.find((candidate) => candidate.name === name || candidate.aliases?.includes(name));
    if (!flag) return unknown(argument, name);
    list = flag.value === 'FILE' ? flag : undefined;
    if (flag.value === undefined && equals >= 0) return error(`${name} takes no value`);
    const value = flag.value === undefined ? '' : equals < 0 ? argv[(at += 1)] : argument.slice(equals + 1);
    if (value === undefined) return error(`${name}: expected ${flag.value ?? ''}`);
    const expected = flag.set(draft, value);
    if (expected !== undefined) return error(`${name} ${value}: expected ${expected}`);
  }
  if (draft.decisions.length === 0) return error('--decisions FILE is missing');
  if (draft.configs.length === 0) return error('--config FILE is missing');
  return { kind: 'options', options: draft };
}

export function replayUsage(): string {
  const lines = FLAGS.map(
    ({ name, aliases = [], value, about }) =>
      `  ${[[name, ...aliases].join(', '), value ?? ''].join(' ').padEnd(34)} ${about}`,
  );
  return [
    'vllm-router replay --decisions FILE --config FILE [flags]: decides the requests of a decision log again under other',
    'configurations, and says what would have come of it.',
    '',
    ...lines,
    '',
  ].join('\n');
}

function unknown(argument: string, name: string): ReplayFlags {
  const names = FLAGS.map((flag) => flag.name);
  return error(`unknown argument ${argument}${didYouMean(nearest(name, names))}`);
}

function error(message: string): ReplayFlags {
  return { kind: 'error', message };
}
