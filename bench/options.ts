import { parseArgs } from 'node:util';
import type { Arrivals } from './load/protocol.ts';

export const PARTS = ['request', 'latency', 'large', 'sse', 'streams', 'fleet', 'idle'] as const;
export type Part = (typeof PARTS)[number];

export interface Options {
  readonly parts: readonly Part[];
  /** Names of targets; undefined = each part's own choice. */
  readonly targets: readonly string[] | undefined;
  readonly rounds: number;
  /** Leaves out the targets that only tell policies apart. */
  readonly quick: boolean;
  /** Scales every window and warm-up. */
  readonly pace: number;
  readonly streams: number;
  readonly arrivals: Arrivals;
  readonly installNginx: boolean;
}

export const USAGE = `Usage: npm run bench -- [flags]

  --quick              Two short rounds, a minute and a half, no open-streams part unless asked for with --only.
  --only PART...       Some parts only: ${PARTS.join(', ')} (comma separated).
  --targets NAME...    Some targets only (comma separated): direct, nginx, bare, router, router-no-log, router-least_work, ...
  --rounds N           Interleaved rounds; medians are reported. [5]
  --streams N          Streams to hold open together. [10000]
  --arrivals KIND      Of the latency part: even or poisson. [even]
  --no-install         Does not install nginx where it is missing.

The load and the canned workers run on one core, the target on another. A whole run takes about nine minutes.
`;

/** Throws with a message for the user. */
export function readOptions(argv: readonly string[]): Options | 'help' {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      quick: { type: 'boolean', default: false },
      only: { type: 'string', multiple: true },
      targets: { type: 'string', multiple: true },
      rounds: { type: 'string' },
      streams: { type: 'string', default: '10000' },
      arrivals: { type: 'string', default: 'even' },
      'no-install': { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return 'help';
  const only = list(values.only);
  for (const name of only ?? []) {
    if (!PARTS.some((part) => part === name))
      throw new Error(`unknown part "${name}"; there are: ${PARTS.join(', ')}`);
  }
  if (values.arrivals !== 'even' && values.arrivals !== 'poisson')
    throw new Error('--arrivals is even or poisson');
  const wanted = only ?? (values.quick ? PARTS.filter((part) => part !== 'streams') : PARTS);
  return {
    parts: PARTS.filter((part) => wanted.includes(part)),
    targets: list(values.targets),
    rounds: values.rounds === undefined ? (values.quick ? 2 : 5) : count('--rounds', values.rounds),
    quick: values.quick,
    pace: values.quick ? 0.3 : 1,
    streams: count('--streams', values.streams),
    arrivals: values.arrivals,
    installNginx: !values['no-install'],
  };
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
