import { didYouMean, nearest } from '../../base/suggest.ts';
import type { Draft } from './flag.ts';
import { SIMULATE_FLAGS } from './flags.ts';
import { PAIR_COST } from './contenders.ts';
import { engineCount, hasPairs, SIMULATE_DEFAULTS, type SimulateOptions } from './options.ts';

export type SimulateFlags =
  | { readonly kind: 'options'; readonly options: SimulateOptions }
  | { readonly kind: 'help' }
  | { readonly kind: 'error'; readonly message: string };

/** Reads `vllm-router simulate`'s arguments. */
export function parseSimulateFlags(argv: readonly string[]): SimulateFlags {
  const draft: Draft = { ...SIMULATE_DEFAULTS };
  const given = new Set<string>();
  for (let at = 0; at < argv.length; at += 1) {
    const argument = argv[at] ?? '';
    if (argument === '--help' || argument === '-h') return { kind: 'help' };
    const equals = argument.startsWith('--') ? argument.indexOf('=') : -1;
    const name = equals < 0 ? argument : argument.slice(0, equals);
    const flag = SIMULATE_FLAGS.find((candidate) => candidate.name === name);
    if (!flag)
      return error(
        `unknown argument ${argument}${didYouMean(
          nearest(
            name,
            SIMULATE_FLAGS.map((one) => one.name),
          ),
        )}`,
      );
    given.add(name);
    if (flag.value === undefined) {
      if (equals >= 0) return error(`${name} takes no value`);
      flag.set(draft, '');
      continue;
    }
    const value = equals < 0 ? argv[(at += 1)] : argument.slice(equals + 1);
    if (value === undefined) return error(`${name}: expected ${flag.value}`);
    const expected = flag.set(draft, value);
    if (expected !== undefined) return error(`${name} ${value}: expected ${expected}`);
  }
  if (hasPairs(draft)) {
    if (!given.has('--workers')) draft.workers = 0;
    if (!given.has('--policies')) draft.policies = [PAIR_COST];
  }
  return checked(draft, given);
}

/** They mean nothing without prefill and decode engines. */
const OF_PAIRS = [
  ...['--prefill', '--decode', '--split', '--prefill-policy', '--decode-policy'],
  ...['--kv-bytes-per-token', '--link-gbits'],
];

function checked(draft: Draft, given: ReadonlySet<string>): SimulateFlags {
  if (draft.trace && draft.generator) return error('--trace and --generate: give one of the two');
  if (draft.trace?.path === '') return error('--format goes with --trace');
  const alone = hasPairs(draft) ? undefined : OF_PAIRS.find((name) => given.has(name));
  if (alone !== undefined) return error(`${alone}: give --prefill and --decode, how many engines of each`);
  if (engineCount(draft) === draft.joins.length) return error('--workers: no engine is there');
  const unknown = draft.kills.find(({ worker }) => worker < 1 || worker > engineCount(draft));
  if (unknown) return error(`--kill: there is no worker ${String(unknown.worker)}`);
  return { kind: 'options', options: draft };
}

function error(message: string): SimulateFlags {
  return { kind: 'error', message };
}
