import { parseArgs } from 'node:util';

export interface SoakOptions {
  readonly seconds: number;
  /** Clients at work at the same time. */
  readonly clients: number;
  readonly seed: number;
  /** Request threads of the router; with more than one, some die. */
  readonly threads: number;
}

export const USAGE = `Usage: npm run soak -- [flags]

  --minutes N    How long clients are at work. [1]
  --seconds N    The same in seconds.
  --clients N    How many at the same time. [32]
  --seed N       Which client does what next. [1]
  --threads N    Request threads of the router. With several, one dies of a fault every 20 s. [1]

A router with four simulated workers under mixed load: streams, uploads, tunnels, bodies in tiny pieces, faults of workers, clients
that leave or make no sense, reloads and drains. Ends with status 1 when an exchange ends otherwise than it may, or when a lease, a
place, a body byte or a descriptor is not given back.
`;

/** Throws with a message for the user. */
export function readOptions(argv: readonly string[]): SoakOptions | 'help' {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      minutes: { type: 'string' },
      seconds: { type: 'string' },
      clients: { type: 'string', default: '32' },
      seed: { type: 'string', default: '1' },
      threads: { type: 'string', default: '1' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return 'help';
  const seconds =
    values.seconds === undefined
      ? 60 * positive('--minutes', values.minutes ?? '1')
      : positive('--seconds', values.seconds);
  return {
    seconds,
    clients: whole('--clients', values.clients),
    seed: whole('--seed', values.seed),
    threads: whole('--threads', values.threads),
  };
}

function positive(flag: string, text: string): number {
  const value = Number(text);
  if (!(value > 0 && value < Infinity)) throw new Error(`${flag} wants a number above 0, not "${text}"`);
  return value;
}

function whole(flag: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1)
    throw new Error(`${flag} wants a whole number above 0, not "${text}"`);
  return value;
}
