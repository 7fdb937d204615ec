import { GENERATORS, type GeneratorName } from '../traces/generators.ts';
import { TRACE_FORMATS } from '../traces/read-trace.ts';
import { PAIR_FLAGS } from './pair-flags.ts';
import { number, numbers, parseNumber, toggle, type Flag, type Rule } from './flag.ts';

const POSITIVE: Rule = { least: 0.001, most: 1000 };
const MS: Rule = { least: 0 };

export const SIMULATE_FLAGS: readonly Flag[] = [
  {
    name: '--trace',
    value: 'FILE',
    group: 'Workload',
    about: 'A recorded workload: .jsonl (Mooncake), .csv (Azure) or .json (ShareGPT), .gz or not.',
    set: (draft, path) => {
      draft.trace = { path, format: draft.trace?.format };
      return path === '' ? 'a file' : undefined;
    },
  },
  {
    name: '--format',
    value: TRACE_FORMATS.join('|'),
    group: 'Workload',
    about: 'Format of the trace, where its name does not tell.',
    set: (draft, text) => {
      const format = TRACE_FORMATS.find((known) => known === text);
      draft.trace = { path: draft.trace?.path ?? '', format };
      return format === undefined ? `one of ${TRACE_FORMATS.join(', ')}` : undefined;
    },
  },
  {
    name: '--generate',
    value: 'NAME',
    group: 'Workload',
    about: `A made-up workload: ${Object.keys(GENERATORS).join(', ')}.`,
    set: (draft, text) => {
      const names = Object.keys(GENERATORS) as GeneratorName[];
      draft.generator = names.find((name) => name === text);
      return draft.generator === undefined ? `one of ${names.join(', ')}` : undefined;
    },
  },
  number(
    '--requests',
    'requests',
    { least: 1, most: 10_000_000, whole: true },
    {
      group: 'Workload',
      value: 'N',
      about:
        'Length of a made-up workload (10,000 unless given); of a recorded one, only its first N requests.',
    },
  ),
  number('--rate', 'ratePerSecond', POSITIVE, {
    group: 'Workload',
    value: 'PER_SECOND',
    about: 'Mean arrivals of a made-up workload.',
  }),
  {
    name: '--speed',
    value: 'FACTORS',
    group: 'Workload',
    about: 'Factors on the arrival rate, e.g. 0.5,1,1.5: each is a run of its own, to find the knee.',
    set: (draft, text) => {
      const values = numbers(text, POSITIVE);
      draft.speeds = values ?? [];
      return values ? undefined : 'positive numbers with commas between';
    },
  },
  toggle('--strict', 'strict', {
    group: 'Workload',
    about: 'Ends at the first line of a trace that cannot be used, instead of going on without it.',
  }),
  {
    name: '--policies',
    value: 'LIST',
    group: 'Fleet',
    about:
      'What to compare, with commas between; parameters as name:parameter=value;parameter=value. `baselines` means all formulas of the field, `all` these and the policies of the router itself.',
    set: (draft, text) => {
      draft.policies = text.split(',').filter((name) => name !== '');
      return draft.policies.length === 0 ? 'names of policies' : undefined;
    },
  },
  number(
    '--workers',
    'workers',
    { least: 0, most: 4096, whole: true },
    {
      group: 'Fleet',
      value: 'N',
      about:
        'Simulated engines that serve requests whole: 8 unless given, beside --prefill and --decode none.',
    },
  ),
  ...PAIR_FLAGS,
  {
    name: '--worker-speeds',
    value: 'FACTORS',
    group: 'Fleet',
    about: 'Speeds of the engines, taken in turn: 1,2 makes every second one twice as fast.',
    set: (draft, text) => {
      const values = numbers(text, POSITIVE);
      draft.workerSpeeds = values ?? [];
      return values ? undefined : 'positive numbers with commas between';
    },
  },
  number(
    '--kv-tokens',
    'kvTokens',
    { least: 1024, most: 2 ** 31, whole: true },
    {
      group: 'Fleet',
      value: 'N',
      about: 'Tokens in the KV cache of each engine.',
    },
  ),
  number(
    '--cpu-tokens',
    'cpuTokens',
    { least: 0, most: 2 ** 31, whole: true },
    {
      group: 'Fleet',
      value: 'N',
      about: 'Tokens of CPU memory that each engine copies full blocks to, and loads them back from.',
    },
  ),
  number(
    '--cpu-load-rate',
    'cpuLoadRate',
    { least: 1 },
    {
      group: 'Fleet',
      value: 'TOKENS_PER_S',
      about: 'How fast they come back from there.',
    },
  ),
  number(
    '--prefill-rate',
    'prefillRate',
    { least: 1 },
    {
      group: 'Fleet',
      value: 'TOKENS_PER_S',
      about: 'Prefill speed of an engine.',
    },
  ),
  number('--decode-base-ms', 'decodeBaseMs', MS, {
    group: 'Fleet',
    value: 'MS',
    about: 'Time of a decode step.',
  }),
  number('--decode-per-request-ms', 'decodePerRequestMs', MS, {
    group: 'Fleet',
    value: 'MS',
    about: 'What each running request adds to it.',
  }),
  number(
    '--routers',
    'routers',
    { least: 1, most: 64, whole: true },
    {
      group: 'Fleet',
      value: 'N',
      about: 'Routers, with the requests spread over them.',
    },
  ),
  number('--share-interval-ms', 'shareIntervalMs', MS, {
    group: 'Fleet',
    value: 'MS',
    about:
      'How often these tell each other what they have on each engine and what they sent there, as with shared_state; 0 = they share nothing.',
  }),
  {
    name: '--kill',
    value: 'WORKER@SECS',
    group: 'Fleet',
    about: 'The engine of that number, counted from 1, dies; may be given several times.',
    set: (draft, text) => {
      const [, worker, secs] = /^(\d+)@(\d+(?:\.\d+)?)$/.exec(text) ?? [];
      if (worker === undefined || secs === undefined) return 'a worker and a time, e.g. 2@60';
      draft.kills = [...draft.kills, { worker: Number(worker), atMs: 1000 * Number(secs) }];
      return undefined;
    },
  },
  {
    name: '--join',
    value: 'SECS',
    group: 'Fleet',
    about: 'One more engine joins at that time; may be given several times.',
    set: (draft, text) => {
      const secs = parseNumber(text, { least: 0 });
      if (secs === undefined) return 'a time in seconds';
      draft.joins = [...draft.joins, 1000 * secs];
      return undefined;
    },
  },
  {
    name: '--cache-knowledge',
    value: 'predicted|exact|events',
    group: 'Knowledge',
    about:
      'How routers know the caches: from what they sent, without error, or from engine events (and from what they sent, where there are none).',
    set: (draft, text) => {
      const known = (['predicted', 'exact', 'events'] as const).find((one) => one === text);
      draft.knowledge = known ?? 'predicted';
      return known === undefined ? 'predicted, exact or events' : undefined;
    },
  },
  number('--event-delay-ms', 'eventDelayMs', MS, {
    group: 'Knowledge',
    value: 'MS',
    about: 'Age of engine events.',
  }),
  number(
    '--event-loss',
    'eventLoss',
    { least: 0, most: 1 },
    {
      group: 'Knowledge',
      value: 'SHARE',
      about:
        'Share of the messages with events that do not come; they are asked for again when the next one comes.',
    },
  ),
  {
    name: '--no-event-replay',
    group: 'Knowledge',
    about: 'Nobody can be asked: after a loss a router forgets what it knew of the engine.',
    set: (draft) => {
      draft.eventReplay = false;
      return undefined;
    },
  },
  number('--event-join-ms', 'eventJoinMs', MS, {
    group: 'Knowledge',
    value: 'MS',
    about: 'Routers hear events from then on only.',
  }),
  number(
    '--silent-workers',
    'silentWorkers',
    { least: 0, most: 4096, whole: true },
    {
      group: 'Knowledge',
      value: 'N',
      about: 'The last N engines publish no events.',
    },
  ),
  number('--poll-interval-ms', 'pollIntervalMs', MS, {
    group: 'Knowledge',
    value: 'MS',
    about: "How often routers read the engines' own load; 0 = never.",
  }),
  number('--poll-delay-ms', 'pollDelayMs', MS, {
    group: 'Knowledge',
    value: 'MS',
    about: 'Age of what they read.',
  }),
  number(
    '--seeds',
    'seeds',
    { least: 1, most: 31, whole: true },
    {
      group: 'Output',
      value: 'N',
      about: 'Runs with different chance; from 2 on with 95% confidence intervals.',
    },
  ),
  number('--slo-ttft-ms', 'ttftMs', MS, {
    group: 'Output',
    value: 'MS',
    about: 'Goodput counts requests whose first token came in this time,',
  }),
  number('--slo-tpot-ms', 'tpotMs', MS, {
    group: 'Output',
    value: 'MS',
    about: 'and every further one, in the mean, in this.',
  }),
  toggle('--wide', 'wide', {
    group: 'Output',
    about: 'All columns, not only as many as fit into 120 characters.',
  }),
  toggle('--json', 'json', { group: 'Output', about: 'The result as JSON on standard output.' }),
  {
    name: '--html',
    value: 'FILE',
    group: 'Output',
    about: 'A report with plots in one file.',
    set: (draft, path) => {
      draft.html = path;
      return path === '' ? 'a file' : undefined;
    },
  },
];
