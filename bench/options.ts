import { resolve, sep } from 'node:path';
import { parseArgs } from 'node:util';
import type { Arrivals } from './load/protocol.ts';
import { defaultVenvs } from './peers/venv.ts';

export const PARTS = [
  'request',
  'latency',
  'large',
  'sse',
  'streams',
  'fleet',
  'first',
  'idle',
  'threads',
  'cache-index',
  'shared',
] as const;
export type Part = (typeof PARTS)[number];
/** What other routers are compared in, and what of it only where it is asked for. */
const PARTS_WITH_PEERS: readonly Part[] = ['request', 'large', 'sse', 'streams'];
const PARTS_ON_REQUEST: readonly Part[] = ['streams'];

export interface Options {
  readonly parts: readonly Part[];
  /** Names of targets; undefined = each part's own choice. */
  readonly targets: readonly string[] | undefined;
  /** `npm run bench:peers`: beside other routers, in the parts that concern them. */
  readonly peers: boolean;
  readonly rounds: number;
  /** Leaves out the targets that only tell policies apart. */
  readonly quick: boolean;
  /** Scales every window and warm-up. */
  readonly pace: number;
  readonly streams: number;
  readonly arrivals: Arrivals;
  readonly mayInstall: boolean;
  readonly venvs: string;
  /** A file of Mooncake's format with the requests of the part cache-index. */
  readonly trace: string | undefined;
  /** The result is kept under this name, beside those that are in the repository. */
  readonly keep: string | undefined;
}

const FLAGS = `  --rounds N           Interleaved rounds; medians are reported. [5]
  --targets NAME...    Some targets only (comma separated): direct, nginx, bare, router, router-no-log, router-cache_aware, ...
  --streams N          Streams to hold open together. [9600]
  --arrivals KIND      Of requests at a fixed rate: even or poisson. [even]
  --venv DIR           Where other routers from PyPI are, or are installed. [vllm-router-bench in the user's cache]
  --no-install         Installs nothing; what is missing is left out.
  --trace FILE         Requests whose events the part cache-index follows, in Mooncake's format. [made up]
  --keep NAME          Writes bench/results/<date>-NAME.json, which is not ignored by git, instead of a file named after the time.
`;

export const USAGE = `Usage: npm run bench -- [flags]

  --quick              Two short rounds, two minutes, no open-streams part unless asked for with --only.
  --only PART...       Some parts only: ${PARTS.join(', ')} (comma separated).
${FLAGS}
The load and the canned workers run on one core, the target on another. A whole run takes about twelve minutes.
`;

export const PEERS_USAGE = `Usage: npm run bench:peers -- [flags]

This router beside nginx, HAProxy, a bare Node proxy and routers from PyPI, each installed where it is missing (a Python
environment per package, outside the tree) and left out with the reason where it cannot be.

  --quick              Two short rounds.
  --only PART...       Some parts only: ${PARTS_WITH_PEERS.join(', ')} (comma separated). [all but ${PARTS_ON_REQUEST.join(', ')}]
${FLAGS}
A whole run takes about eight minutes.
`;

/** Throws with a message for the user. */
export function readOptions(argv: readonly string[], peers = false): Options | 'help' {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      quick: { type: 'boolean', default: false },
      only: { type: 'string', multiple: true },
      targets: { type: 'string', multiple: true },
      rounds: { type: 'string' },
      streams: { type: 'string', default: '9600' },
      arrivals: { type: 'string', default: 'even' },
      'no-install': { type: 'boolean', default: false },
      venv: { type: 'string' },
      trace: { type: 'string' },
      keep: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return 'help';
  const parts = peers ? PARTS_WITH_PEERS : PARTS;
  const only = list(values.only);
  for (const name of only ?? []) {
    if (!parts.some((part) => part === name))
      throw new Error(`unknown part "${name}"; there are: ${parts.join(', ')}`);
  }
  if (values.arrivals !== 'even' && values.arrivals !== 'poisson')
    throw new Error('--arrivals is even or poisson');
  if (values.keep !== undefined && !/^[\w-]+$/.test(values.keep))
    throw new Error(`--keep wants a name of letters, digits and dashes, not "${values.keep}"`);
  const wanted =
    only ?? (peers || values.quick ? parts.filter((part) => !PARTS_ON_REQUEST.includes(part)) : parts);
  return {
    parts: parts.filter((part) => wanted.includes(part)),
    peers,
    targets: list(values.targets),
    rounds: values.rounds === undefined ? (values.quick ? 2 : 5) : count('--rounds', values.rounds),
    quick: values.quick,
    pace: values.quick ? 0.3 : 1,
    streams: count('--streams', values.streams),
    arrivals: values.arrivals,
    mayInstall: !values['no-install'],
    venvs: outside(values.venv === undefined ? defaultVenvs() : resolve(values.venv)),
    trace: values.trace,
    keep: values.keep,
  };
}

/** Python packages have no place in the tree, where checks and packing would find them. */
function outside(folder: string): string {
  const root = resolve(import.meta.dirname, '..');
  if (folder === root || folder.startsWith(root + sep)) throw new Error(`--venv must lead out of ${root}`);
  return folder;
}

function list(values: readonly string[] | undefined): string[] | undefined {
  return values?.flatMap((value) => value.split(',')).filter((name) => name !== '');
}

function count(flag: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1)
    throw new Error(`${flag} wants a whole number above 0, not "${text}"`);
  return value;
}
